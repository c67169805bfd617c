import { chmod, mkdtemp, rm, statfs } from 'node:fs/promises';
import { freemem } from 'node:os';
import { join } from 'node:path';

/** The file system in memory that Linux has. */
const IN_MEMORY = '/dev/shm';
/** Enough for the databases of all files that run at the same time. */
const PLENTY_BYTES = 4 * 1024 ** 3;

/**
 * The variable with the folder that is removed after the last test: what one test makes there, others may
 * use.
 */
export const FOLDER_OF_TESTS = 'FOLDER_OF_TESTS';

/**
 * Keeps the temporary files of all tests in memory, where there is plenty of it: the hundreds of databases
 * that the tests make are there sooner. No test cuts the power, so none can tell the difference.
 *
 * @returns what removes them after the last test; undefined when they are kept where they always are.
 */
export default async function keepTemporaryFiles(): Promise<(() => Promise<void>) | undefined> {
  // Each project of the tests has its set-up, and one folder is enough for all of them.
  if (process.env.TMPDIR !== undefined || !(await isRoomy())) return undefined;
  const folder = await mkdtemp(join(IN_MEMORY, 'tests-'));
  // A database server has a user of its own.
  await chmod(folder, 0o1777);
  process.env.TMPDIR = folder;
  process.env[FOLDER_OF_TESTS] = folder;
  // What one process compiles, the others need not.
  process.env['NODE_COMPILE_CACHE'] ??= join(folder, 'compiled');
  // A process that ends may still write there.
  return () => rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}

async function isRoomy(): Promise<boolean> {
  try {
    const { bavail, bsize } = await statfs(IN_MEMORY);
    return bavail * bsize >= PLENTY_BYTES && freemem() >= PLENTY_BYTES;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
