import type { PoolClient } from 'pg';

/** A lock on the name of a coordinator that this process has, as far as it knows. */
export interface NameLock {
  /** Aborted when the session that holds it is lost, or gives it back. */
  readonly over: AbortSignal;
  /** Says that it is given back. Left out where another claim of this process has it. */
  readonly letGo?: () => void;
}

/**
 * The sessions of this process that hold a name or ask for it, by the lock and their numbers at the server. Whatever else
 * holds one under the name of our own run is what is left of a connection that was lost: a run has one process only.
 */
const sessions = new Map<string, AbortController>();

/** Counts a session among those of this process, before it asks for the lock, until it ends. */
export function countSession(client: PoolClient, lock: number, pid: number): Required<NameLock> {
  const id = `${lock}/${pid}`;
  const over = new AbortController();
  const letGo = (): void => {
    if (sessions.get(id) === over) sessions.delete(id);
    over.abort();
  };
  sessions.set(id, over);
  client.once('end', letGo);
  return { over: over.signal, letGo };
}

/** @returns the lock as that session of this process has it; undefined when none of its live ones has this number. */
export function lockOfSibling(lock: number, pid: number): NameLock | undefined {
  const over = sessions.get(`${lock}/${pid}`);
  return over && { over: over.signal };
}
