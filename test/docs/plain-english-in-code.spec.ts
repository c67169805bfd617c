import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { idiomsIn } from './plain-english.js';

const root = join(import.meta.dirname, '../..');
const FOLDERS = ['src', 'dashboard', 'test', 'samples', 'bench', 'scripts'];
const NOT_OURS = new Set(['node_modules', 'dist', 'build']);
/** These hold the expressions as data. */
const LISTS = new Set(['plain-english.ts', 'plain-english.spec.ts', 'plain-english-in-code.spec.ts']);

describe('plain English in code', () => {
  it.each(FOLDERS)('%s/ has no expression that stops a reader', (folder) => {
    const found = filesIn(join(root, folder)).flatMap((file) =>
      idiomsInCode(readFileSync(file, 'utf8')).map(
        ({ line, words, instead }) => `${relative(root, file)}:${line} "${words}": ${instead}`,
      ),
    );

    expect(found).toEqual([]);
  });

  it('reads comments, also over several lines, and texts', () => {
    expect(idiomsInCode('/**\n * seen by\n * nobody\n */\nthrow new Error("mend it")')).toMatchObject([
      { line: 3, words: 'nobody' },
      { line: 5, words: 'mend' },
    ]);
  });

  it('takes a word between quotes for a value', () => {
    expect(idiomsInCode("branch('nobody', 1); // the user 'nobody'")).toEqual([]);
  });
});

/** @returns the idioms in a file of code. The marks of a comment count as spaces. */
function idiomsInCode(code: string): ReturnType<typeof idiomsIn> {
  const values = /(['"`])[^\s'"`]*\1|\b\w+(?:-\w+)+\b/g;
  return idiomsIn(code.replaceAll(values, "''").replaceAll(/^\s*(?:\*|\/\/|#)(?=\s)/gm, ''));
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return NOT_OURS.has(entry.name) ? [] : filesIn(path);
    return /\.(?:ts|tsx|mjs|js|html|mutants|pml|txt)$/.test(entry.name) && !LISTS.has(entry.name)
      ? [path]
      : [];
  });
}
