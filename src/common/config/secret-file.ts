import { readFileSync, statSync } from 'node:fs';
import { EnvironmentError } from './environment.error.js';

/** What names a file instead of holding the secret itself: `READER_TOKENS_FILE` beside `READER_TOKENS`. */
export const FILE_SUFFIX = '_FILE';

/** Far more than any secret has. What is larger is the wrong file. */
const MAX_FILE_BYTES = 64 * 1024;

/** What was set, and by which variable. */
export interface Setting {
  readonly variable: string;
  readonly text: string;
}

/**
 * Reads a secret from its variable, or from the file that the variable of that name with `_FILE` names. A file keeps it
 * from listings of processes and from dumps of the environment. White space at the end of the file does not count.
 *
 * @throws EnvironmentError when both are set, or the file cannot be read or is empty. It shows neither the content nor the
 * path, for whoever mixes the two variables up has put the secret where a path belongs.
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
