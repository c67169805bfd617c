import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

const SOURCES = join(import.meta.dirname, '../../src');

/** Every module that an entry loads, by its path in src. Imports of types load nothing. */
export function loadedBy(entry: string, seen = new Set<string>()): Set<string> {
  if (seen.has(entry)) return seen;
  seen.add(entry);
  const text = readFileSync(join(SOURCES, entry), 'utf8');
  for (const [, names, path] of text.matchAll(/^(?:import|export) ([^;]*?)from '(\.[^']+)\.[jt]s';/gms)) {
    const isOfTypes = names!.startsWith('type ') || /^\{(\s*type [^,}]+,?)+\s*\}\s*$/.test(names!);
    if (!isOfTypes) loadedBy(relative(SOURCES, join(SOURCES, dirname(entry), `${path!}.ts`)), seen);
  }
  return seen;
}
