import type { ConnectionOptions } from 'mysql2/promise';
import { endAll } from '../../coordinator/end-all.js';
import type { ResolvedMariaDbSettings } from '../options.js';
import { ConnectionPool } from './connection-pool.js';
import type { Session } from './session.js';

/** The pools of a resource manager: one for branches, and one reserved for completions. */
export interface ConnectionPools {
  readonly work: ConnectionPool;
  readonly completion: ConnectionPool;
  /** Closes both. */
  close(): Promise<void>;
}

/**
 * After this silence the operating system checks whether the other end exists: its own default is two hours.
 */
const KEEP_ALIVE_AFTER_MS = 10_000;

/** How long it may take to end a session at the server. */
const END_WITHIN_MS = 2_000;

/** Creates the pools. No connection is opened yet. */
export function openPools(
  connection: string | ConnectionOptions,
  settings: ResolvedMariaDbSettings,
): ConnectionPools {
  const config = configOf(connection, settings);
  // One more holds the claims of coordinators while the process lives.
  const completion = new ConnectionPool(config, settings.completionConnections + 1);
  const work = new ConnectionPool(config, settings.workConnections, 'branches', (session) => {
    void endAtServer(completion, session.mark);
  });
  return {
    work,
    completion,
    close: () => endAll([() => work.close(), () => completion.close()]),
  };
}

/** @returns the options for `mysql2`, without those by which the library cannot work. */
export function configOf(
  connection: string | ConnectionOptions,
  settings: Pick<ResolvedMariaDbSettings, 'connectTimeoutMs'>,
): ConnectionOptions {
  const { uri, flags = [], ...given } = typeof connection === 'string' ? { uri: connection } : connection;
  return {
    connectTimeout: settings.connectTimeoutMs,
    enableKeepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_AFTER_MS,
    ...given,
    ...(uri !== undefined && { uri: withoutForbidden(uri) }),
    flags: (Array.isArray(flags) ? flags : String(flags).split(',')).filter(
      (flag) => flag.trim().toUpperCase() !== 'MULTI_STATEMENTS',
    ),
    // A text with several statements could end the transaction of its branch.
    multipleStatements: false,
  };
}

/**
 * The options of a URL that would win over those of the library: `mysql2` prefers them to an option that is
 * false.
 */
const FORBIDDEN = ['multipleStatements', 'resetOnRelease', 'waitForConnections', 'queueLimit', 'flags'];

function withoutForbidden(uri: string): string {
  if (!URL.canParse(uri)) return uri;
  const url = new URL(uri);
  for (const name of FORBIDDEN) url.searchParams.delete(name);
  return url.href;
}

/**
 * Ends a session at the server by its mark, and with it its running statement. A branch that it has prepared
 * stays prepared. If it has gone by then, nothing happens. It never throws: the deadline of the session ends
 * it as well.
 */
export async function endAtServer(completion: ConnectionPool, mark: string): Promise<void> {
  try {
    const signal = AbortSignal.timeout(END_WITHIN_MS);
    await completion.run(signal, (session) => killByMark(session, mark));
  } catch {
    // The limits of its transaction end it at the server.
  }
}

/** @returns whether there was such a session. */
export async function killByMark(session: Session, mark: string): Promise<boolean> {
  const [row] = await session.rows<{ id: string | null }>('SELECT CAST(IS_USED_LOCK(?) AS CHAR) AS id', [
    mark,
  ]);
  if (row === undefined || row.id === null) return false;
  // By its mark again: the number may have been given to another session meanwhile.
  await session.run('KILL CONNECTION IS_USED_LOCK(?)', [mark]).catch((error: unknown) => {
    if ((error as { errno?: number }).errno !== NO_SUCH_THREAD) throw error;
  });
  return true;
}

const NO_SUCH_THREAD = 1094;
