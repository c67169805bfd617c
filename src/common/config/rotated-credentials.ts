import { statSync } from 'node:fs';
import { type Credential, credentialsSchema } from './credentials.js';
import { EnvironmentError } from './environment.error.js';
import { FILE_SUFFIX, readSecret } from './secret-file.js';

/** How often the file is looked at, in milliseconds. */
const LOOK_MS = 1_000;

/**
 * Credentials from a variable, or from the file that the variable with the suffix `_FILE` names. A file that
 * is written anew takes effect within a second, without a restart.
 *
 * @param now a monotonic clock, in milliseconds. @default performance.now
 * @returns the present credentials; the same list until the file changes. It throws EnvironmentError while
 * the file cannot be used.
 */
export function rotatedCredentials(
  name: string,
  environment: NodeJS.ProcessEnv,
  now: () => number = () => performance.now(),
): () => readonly Credential[] {
  const path = environment[name + FILE_SUFFIX];
  let credentials = read(name, environment);
  if (path === undefined) return () => credentials;
  let stamp = stampOf(path);
  let lookedAt = now();
  return () => {
    if (now() - lookedAt < LOOK_MS) return credentials;
    lookedAt = now();
    const latest = stampOf(path);
    if (latest === stamp) return credentials;
    credentials = read(name, environment);
    // Noted when it was read: a file that cannot be used now is looked at again.
    stamp = latest;
    return credentials;
  };
}

function read(name: string, environment: NodeJS.ProcessEnv): readonly Credential[] {
  const setting = readSecret(name, environment);
  if (setting === undefined) return [];
  const parsed = credentialsSchema.safeParse(setting.text);
  if (parsed.success) return parsed.data;
  throw new EnvironmentError(parsed.error.issues.map(({ message }) => `${setting.variable}: ${message}`));
}

/** The properties that change when a file is written anew, or replaced by another one. */
function stampOf(path: string): string {
  try {
    const { ino, mtimeMs, size } = statSync(path);
    return `${ino} ${mtimeMs} ${size}`;
  } catch {
    // The next reading says what is wrong with it.
    return 'missing';
  }
}
