import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

const SOURCES = join(import.meta.dirname, '..');

/** Every module that an entry loads, by its path in src. Imports of types load nothing. */
function loadedBy(entry: string, seen = new Set<string>()): Set<string> {
  if (seen.has(entry)) return seen;
  seen.add(entry);
  const text = readFileSync(join(SOURCES, entry), 'utf8');
  for (const [, names, path] of text.matchAll(/^(?:import|export) ([^;]*?)from '(\.[^']+)\.js';/gms)) {
    const isOfTypes = names!.startsWith('type ') || /^\{(\s*type [^,}]+,?)+\s*\}\s*$/.test(names!);
    if (!isOfTypes) loadedBy(relative(SOURCES, join(SOURCES, dirname(entry), `${path!}.ts`)), seen);
  }
  return seen;
}

describe('The entry of callers', () => {
  it('loads no coordinator: only decorated methods, requests and what they need', () => {
    const loaded = [...loadedBy('client/index.ts')].toSorted();
    const folders = [...new Set(loaded.map((path) => dirname(path)))].toSorted();
    expect(folders).toEqual([
      'client',
      'coordinator',
      'coordinator/declarative',
      'coordinator/gate',
      'coordinator/participant',
      'coordinator/protocol',
      'remote/wire',
      'server/wire',
    ]);
    expect(loaded.filter((path) => dirname(path) === 'coordinator')).toEqual([
      'coordinator/describe-issues.ts',
      'coordinator/errors.ts',
      'coordinator/option-fields.ts',
      'coordinator/transaction-scope.ts',
    ]);
  });
});
