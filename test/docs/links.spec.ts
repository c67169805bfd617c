import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DOCUMENTS, targetOf } from './documents.js';

const root = join(import.meta.dirname, '../..');
const textOf = (name: string): string => readFileSync(join(root, name), 'utf8');

/** @returns the anchors of a document, as GitHub makes them from its headings: repeated ones get a number. */
function anchorsOf(text: string): Set<string> {
  const seen = new Map<string, number>();
  const anchors = new Set<string>();
  for (const [, heading] of withoutCode(text).matchAll(/^#{1,6} +(.+?) *$/gm)) {
    const anchor = heading!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-');
    const times = seen.get(anchor) ?? 0;
    seen.set(anchor, times + 1);
    anchors.add(times === 0 ? anchor : `${anchor}-${times}`);
  }
  return anchors;
}

function withoutCode(text: string): string {
  return text.replaceAll(/^ *(```+)[^]*?^ *\1 *$/gm, '');
}

/** @returns the links of a document to headings, of itself or of another document, that do not exist. */
function brokenAnchorsIn(name: string): string[] {
  return Array.from(withoutCode(textOf(name)).matchAll(/\]\((?!https?:)([^)#]*)#([^)]+)\)/g))
    .filter(([, path, anchor]) => {
      const target = path === '' ? name : targetOf(name, path!);
      return !anchorsOf(textOf(target)).has(anchor!);
    })
    .map(([link]) => link);
}

describe('links to headings', () => {
  it.each(DOCUMENTS)('of %s lead to headings that exist', (name) => {
    expect(brokenAnchorsIn(name)).toEqual([]);
  });

  it('are looked for in the documents that have them', () => {
    const links = DOCUMENTS.flatMap((name) => textOf(name).match(/\]\([^)]*#[^)]+\)/g) ?? []);

    expect(links.length).toBeGreaterThan(50);
    expect(anchorsOf('# One\n\n## A `code`, and more\n\n## One\n')).toEqual(
      new Set(['one', 'a-code-and-more', 'one-1']),
    );
  });
});
