import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const SOURCES = join(import.meta.dirname, '../../src');

/** @returns every error code in the code, each once: the quoted texts that begin with `DTC_`. */
export function errorCodes(): string[] {
  const texts = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.spec.ts'))
    .map((file) => readFileSync(join(SOURCES, file), 'utf8'));
  const quoted = texts.flatMap((text) => text.match(/'DTC_[A-Z_]+[A-Z]'/g) ?? []);
  return [...new Set(quoted)].map((code) => code.slice(1, -1)).toSorted();
}
