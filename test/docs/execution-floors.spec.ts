import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
const folder = join(root, 'src/coordinator/execution');
const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && !name.endsWith('.spec.ts'))
  .map((name) => name.replace(/\.ts$/, ''));

/** The floor of each file, by its row in the table of docs/design.md, from the lowest. */
function floors(): Map<string, number> {
  const design = readFileSync(join(root, 'docs/design.md'), 'utf8');
  const table = design.split('<!-- floors of execution -->')[1]!.split('<!-- /floors -->')[0]!;
  const rows = table.trim().split('\n').slice(2).toReversed();
  return new Map(
    rows.flatMap((row, floor) =>
      Array.from(row.split('|')[1]!.matchAll(/`([^`]+)`/g), ([, name]) => [name!, floor] as const),
    ),
  );
}

/** The files of the folder that a file imports, types included. */
function importsOf(name: string): string[] {
  const source = readFileSync(join(folder, `${name}.ts`), 'utf8');
  return Array.from(source.matchAll(/from '(\.\.?\/[^']+)\.js'/g), ([, path]) =>
    join(name, '..', path!),
  ).filter((path) => names.includes(path));
}

describe('the floors of execution/ in docs/design.md', () => {
  it('hold every file once', () => {
    expect([...floors().keys()].toSorted()).toEqual(names.toSorted());
  });

  it.each(names)('%s imports only modules below it', (name) => {
    const all = floors();
    expect(importsOf(name).filter((one) => all.get(one)! >= all.get(name)!)).toEqual([]);
  });
});
