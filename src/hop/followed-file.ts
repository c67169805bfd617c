import { readFileSync, statSync } from 'node:fs';

/** Far larger than any list of tokens or certificates. */
const MAX_FILE_BYTES = 256 * 1024;
/** How often the files are looked at, at most. */
const LOOK_MS = 1_000;

/**
 * Reads a value from files, and again when one of them has changed, at most once a second. Files that cannot
 * be used leave the value as it was: they may be in the middle of a replacement.
 *
 * @param paths the files.
 * @param valueOf makes the value of the texts of the files, in the order of the paths. It throws when they
 * have none.
 * @param subject what the files hold, for the error.
 * @returns a function that returns the present value.
 * @throws RangeError when the files cannot be read, or have no value, at the first time.
 */
export function followed<T>(
  paths: readonly string[],
  valueOf: (texts: readonly string[]) => T,
  subject: string,
): () => T {
  let value: { readonly of: T } | undefined;
  let version = '';
  let lookedAt = -Infinity;
  const look = (): T => {
    const now = performance.now();
    if (value !== undefined && now - lookedAt < LOOK_MS) return value.of;
    lookedAt = now;
    try {
      const found = paths.map(versionOf).join(' ');
      if (value !== undefined && found === version) return value.of;
      value = { of: valueOf(paths.map((path) => readFileSync(path, 'utf8'))) };
      version = found;
    } catch (error) {
      if (value === undefined) throw new RangeError(`${subject} cannot be read.`, { cause: error });
    }
    return value.of;
  };
  look();
  return look;
}

/** @throws RangeError for a file that is too large, and the error of a file that cannot be read. */
function versionOf(path: string): string {
  const { mtimeMs, size, ino } = statSync(path);
  if (size > MAX_FILE_BYTES) throw new RangeError(`${path} has more than ${MAX_FILE_BYTES} bytes`);
  return `${mtimeMs}/${size}/${ino}`;
}
