import { readFileSync, statSync } from 'node:fs';
import { EnvironmentError } from './environment.error.js';

/**
 * The suffix of a variable that names a file instead of holding the secret itself: `READER_TOKENS_FILE`
 * beside `READER_TOKENS`.
 */
export const FILE_SUFFIX = '_FILE';

/** Far larger than any secret. A larger file is the wrong file. */
const MAX_FILE_BYTES = 64 * 1024;

/** The value, and its variable. */
export interface Setting {
  readonly variable: string;
  readonly text: string;
}

/**
 * Reads a secret from its variable, or from the file that the variable with the suffix `_FILE` names. A file
 * keeps it out of lists of processes and dumps of the environment. White space at the end of the file is
 * ignored.
 *
 * @throws EnvironmentError when both are set, or the file cannot be read or is empty. It shows neither the
 * content nor the path, since a user who confuses the two variables has put the secret in place of the path.
 */
export function readSecret(name: string, environment: NodeJS.ProcessEnv): Setting | undefined {
  const variable = name + FILE_SUFFIX;
  const text = environment[name];
  const path = environment[variable];
  if (path === undefined) return text === undefined ? undefined : { variable: name, text };
  if (text !== undefined) throw new EnvironmentError([`${name} and ${variable}: set one of them, not both`]);
  return { variable, text: readWhole(path, variable) };
}

function readWhole(path: string, variable: string): string {
  const text = textOf(path, variable).trimEnd();
  if (text === '') throw new EnvironmentError([`${variable}: the file that it names is empty`]);
  return text;
}

function textOf(path: string, variable: string): string {
  try {
    const file = statSync(path);
    if (file.isFile() && file.size <= MAX_FILE_BYTES) return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new EnvironmentError([`${variable}: the file that it names cannot be read (${code ?? 'no path'})`]);
  }
  throw new EnvironmentError([`${variable}: must name a file of at most ${MAX_FILE_BYTES / 1024} KiB`]);
}
