import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * A defect made on purpose: a name, what is wrong and which rule it violates, the file, and the lines taken
 * out (`-`) and put in (`+`), as they stand in the `.mutants` files beside this one.
 */
export interface Mutant {
  /** The `.mutants` file that has it: `rest-at`. */
  readonly list: string;
  readonly name: string;
  readonly why: string;
  readonly file: string;
  readonly search: string;
  readonly replacement: string;
}

export async function readMutants(): Promise<Mutant[]> {
  const folder = fileURLToPath(new URL('./', import.meta.url));
  const files = (await readdir(folder)).filter((name) => name.endsWith('.mutants')).toSorted();
  const lists = await Promise.all(
    files.map(async (name) => {
      const text = await readFile(join(folder, name), 'utf8');
      const list = name.slice(0, -'.mutants'.length);
      return text
        .trim()
        .split(/\n{2,}/)
        .map((mutant) => parseMutant(list, mutant));
    }),
  );
  return lists.flat();
}

function parseMutant(list: string, text: string): Mutant {
  const [name, why, file, ...change] = text.split('\n');
  const side = (sign: string): string =>
    change
      .filter((line) => line.startsWith(sign))
      .map((line) => line.slice(2))
      .join('\n');
  return {
    list,
    name: name!,
    why: why!.trim(),
    file: file!.trim(),
    search: side('-'),
    replacement: side('+'),
  };
}

/**
 * @returns the text with the defect in it.
 * @throws Error when the lines no longer occur exactly once.
 */
export function mutate(source: string, { name, file, search, replacement }: Mutant): string {
  const [before, after, ...more] = source.split(search);
  if (before === undefined || after === undefined || more.length > 0) {
    throw new Error(`The lines of the mutant ${name} no longer occur exactly once in ${file}.`);
  }
  return before + replacement + after;
}
