import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { floorsOf, isImplied, untangle } from '../../scripts/picture/graph.ts';
import { importsIn, readImports } from '../../scripts/picture/imports.ts';
import { layOut } from '../../scripts/picture/layout.ts';
import { pictures } from '../../scripts/picture/pictures.ts';

/** The pictures of docs/design.md are made from the imports of src/: `npm run picture` writes them anew. */
const root = join(import.meta.dirname, '../..');
const IMAGES = join(root, 'docs/images');

const drawn = pictures(readImports(root, 'src'));

describe('the pictures of the architecture', () => {
  it.each([...drawn.keys()])('%s is what the imports say', (name) => {
    const file = join(IMAGES, name);
    if (process.env['UPDATE_DOCS'] === '1') writeFileSync(file, drawn.get(name)!);

    expect(readFileSync(file, 'utf8') === drawn.get(name), `npm run picture writes ${name} anew`).toBe(true);
  });

  it('shows each two folders of src/ of which one imports the other, and no others', () => {
    const folders = pairs('src', (file) => file.split('/').slice(1, -1)[0]).toSorted();
    const arrows = arrowsOf('architecture.svg').filter((arrow) => folders.includes(arrow));

    expect(folders.length).toBeGreaterThan(10);
    expect(arrows.toSorted()).toStrictEqual(folders);
  });

  it('has no arrow that leads back up', () => {
    for (const name of drawn.keys()) expect(drawn.get(name)).not.toMatch(/class="line up"/);
  });

  it('stands under a tree of docs/design.md with each folder of src/ and of the coordinator', () => {
    const [tree] = /^src\/\n(?: .*\n)+/m.exec(readFileSync(join(root, 'docs/design.md'), 'utf8'))!;
    const listed = [...tree.matchAll(/^(?: {2}| {4})([\w-]+)\/ /gm)].map(([, folder]) => folder);
    const folders = ['src', 'src/coordinator'].flatMap((folder) =>
      readdirSync(join(root, folder), { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => name),
    );
    // The first line of the coordinator names it.
    expect(new Set([...listed, 'testing'])).toEqual(new Set(folders));
  });

  it('shows each file of execution/, and each two of which one imports the other', () => {
    const folder = 'src/coordinator/execution';
    const files = pairs(folder, (file) => posix.relative(folder, file).replace(/\.ts$/, ''));

    expect(files.length).toBeGreaterThan(50);
    expect(arrowsOf('execution.svg').toSorted()).toStrictEqual(files.toSorted());
  });
});

describe('the content of a picture', () => {
  it('finds every kind of import, and whether it brings more than types', () => {
    const text = `
      import { a } from './a.js';
      import type { B } from './b.js';
      import { type C } from './c.js';
      import d, { type D } from './d.js';
      import './e.js';
      export { f } from './f.js';
      export * from './g.js';
      export type { H } from './h.js';
      const i = await import('./i.js');
      let j: typeof import('./j.js');
      // import { no } from './comment.js';
      const text = "import { no } from './text.js'";`;

    expect(
      importsIn(text).map(({ specifier, typesOnly }) => `${specifier}${typesOnly ? ' types' : ''}`),
    ).toStrictEqual([
      './a.js',
      './b.js types',
      './c.js types',
      './d.js',
      './e.js',
      './f.js',
      './g.js',
      './h.js types',
      './i.js',
      './j.js types',
    ]);
  });

  const arrows = [
    arrow('top', 'middle', 3),
    arrow('middle', 'bottom', 2),
    arrow('top', 'bottom', 1),
    arrow('bottom', 'middle', 1),
    arrow('other', 'bottom', 1),
  ];

  it('takes the weakest arrow of a cycle for the one that leads up', () => {
    const { down, up } = untangle(arrows);

    expect(up).toStrictEqual([arrow('bottom', 'middle', 1)]);
    expect(down).toHaveLength(4);
    expect(isImplied(arrow('top', 'bottom', 1), down)).toBe(true);
    expect(isImplied(arrow('top', 'middle', 3), down)).toBe(false);
    expect(Object.fromEntries(floorsOf(['top', 'other'], down))).toStrictEqual({
      top: 2,
      middle: 1,
      bottom: 0,
      other: 1,
    });
  });

  it('lets no two boxes overlap, and each arrow start and end at its boxes', () => {
    const parts = ['top', 'middle', 'bottom', 'other'].map((id) => ({ id, width: 90, height: 30 }));
    const { places, lines } = layOut(parts, arrows, false);

    expect(lines).toHaveLength(5);
    for (const [id, one] of places) {
      for (const [otherId, other] of places) {
        const apart = Math.abs(one.x - other.x) >= one.width || one.y !== other.y;
        expect(id === otherId || apart).toBe(true);
      }
    }
    for (const line of lines) {
      const [upper, lower] = line.up ? [line.to, line.from] : [line.from, line.to];
      const ys = line.points.map(({ y }) => y);
      expect(line.up ? ys.toReversed() : ys).toStrictEqual(ys.toSorted((a, b) => a - b));
      expect(Math.min(...ys)).toBe(places.get(upper)!.y + places.get(upper)!.height);
      expect(Math.max(...ys)).toBe(places.get(lower)!.y);
    }
  });
});

function arrow(from: string, to: string, weight: number): Parameters<typeof untangle>[0][number] {
  return { from, to, weight, typesOnly: false };
}

function arrowsOf(name: string): string[] {
  return [...drawn.get(name)!.matchAll(/<title>(\S+) → (\S+?)(?:, types only)?<\/title>/g)].map(
    ([, from, to]) => `${from} → ${to}`,
  );
}

function sourcesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => posix.join(folder, name))
    .filter((name) => name.endsWith('.ts') && !/\.(spec|fixture)\.ts$/.test(name))
    .toSorted();
}

/** What one finds by reading lines, and not with a parser. */
function pairs(folder: string, partOf: (file: string) => string | undefined): string[] {
  const found = new Set<string>();
  for (const file of sourcesBelow(folder)) {
    for (const [, specifier] of readFileSync(join(root, file), 'utf8').matchAll(
      /(?:from|import\() ?'(\.[^']*)'/g,
    )) {
      const to = posix.join(posix.dirname(file), specifier!);
      if (!to.startsWith(`${folder}/`)) continue;
      const [one, other] = [partOf(file), partOf(to.replace(/\.js$/, '.ts'))];
      if (one !== undefined && other !== undefined && one !== other) found.add(`${one} → ${other}`);
    }
  }
  return [...found];
}
