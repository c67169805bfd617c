import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sample } from '../../scripts/mutants/sample.js';
import { mutate, readMutants } from '../../scripts/mutants/mutants.js';
import { NAMED_ROWS } from '../../scripts/mutants/rows.js';
import { LISTS_WITH_LIKELIEST, SUITES, amongWanted, suitesFor } from '../../scripts/mutants/suites.js';

const root = join(import.meta.dirname, '../..');
const mutants = await readMutants();

describe('the defects that the tests are tried with', () => {
  it.each(mutants)('$name still fits the code', (mutant) => {
    const source = readFileSync(join(root, mutant.file), 'utf8');
    expect(mutate(source, mutant)).not.toBe(source);
  });

  it('are sampled by a seed: as many as asked for, none twice, and others by another seed', () => {
    const chosen = sample(mutants, 8, 1);

    expect(new Set(chosen).size).toBe(8);
    expect(sample(mutants, 8, 1)).toEqual(chosen);
    expect(sample(mutants, 8, 2)).not.toEqual(chosen);
    expect(sample(mutants, mutants.length + 1, 1)).toEqual(mutants);
  });

  it('are brought before the tests beside them first, and before all suites in the end', () => {
    const broken = new Map(mutants.map(({ file, list }) => [`${list} ${file}`, { file, list }]));
    const paths = [...broken.values()].flatMap((mutant) => {
      const suites = suitesFor(mutant, root);
      expect(suites.slice(-SUITES.length)).toEqual(SUITES);
      return suites.flat();
    });
    expect([...new Set(paths)].filter((path) => !existsSync(join(root, path)))).toEqual([]);
    const [beside] = suitesFor({ file: 'src/coordinator/execution/decision.ts', list: 'driver' }, root);
    expect(beside).toContain('src/coordinator/execution/decision.spec.ts');
    const lists = new Set(mutants.map(({ list }) => list));
    expect(LISTS_WITH_LIKELIEST.filter((list) => !lists.has(list))).toEqual([]);
  });

  it('are brought before the wanted tests alone, also where a suite has them as a part of a folder', () => {
    const suite = ['src/sql', 'test/postgres/log', 'test/postgres/groups.spec.ts'];
    const among = (...wanted: string[]) => amongWanted(suite, wanted);
    expect(among('test/postgres')).toEqual(['test/postgres/log', 'test/postgres/groups.spec.ts']);
    expect(among('test/postgres/log/faults.spec.ts', 'src/sql/gid.spec.ts')).toEqual([
      'src/sql/gid.spec.ts',
      'test/postgres/log/faults.spec.ts',
    ]);
    expect(among('src', 'src/sql/gid.spec.ts')).toEqual(['src/sql']);
    expect(among('test/postgres/groups', 'src/sq')).toEqual([]);
  });

  it('are as many as docs/proof.md says', () => {
    const proof = readFileSync(join(root, 'docs/proof.md'), 'utf8');
    expect(proof).toContain(`more than ${100 * Math.floor(mutants.length / 100)} mutants of rules`);
  });

  it('have a name each', () => {
    expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length);
  });
});

describe('the table of the defects of members', () => {
  const proof = readFileSync(join(root, 'docs/proof.md'), 'utf8');
  const cellsOf = (name: string): string[] =>
    proof
      .split('\n')
      .find((line) => line.startsWith(`| \`${name}\` `))
      ?.split('|')
      .slice(2, -1)
      .map((cell) => cell.trim()) ?? [];

  it.each(NAMED_ROWS)('says that two rungs find $name', ({ name }) => {
    const found = cellsOf(name).filter((cell) => cell !== '–');
    expect(found.length).toBeGreaterThanOrEqual(2);
    expect(found.some((cell) => cell !== 'refuted')).toBe(true);
  });
});
