import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { mutate, readMutants } from '../../scripts/mutants/mutants.js';

const root = join(import.meta.dirname, '../..');
const mutants = await readMutants();

describe('the defects that the tests are tried with', () => {
  it.each(mutants)('$name still fits the code', (mutant) => {
    const source = readFileSync(join(root, mutant.file), 'utf8');
    expect(mutate(source, mutant)).not.toBe(source);
  });

  it('have a name each', () => {
    expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length);
  });
});
