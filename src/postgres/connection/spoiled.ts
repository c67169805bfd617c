import type { Client } from 'pg';

const spoiled = new WeakSet<Client>();
const locked = new WeakSet<Client>();

/**
 * The effects on this session cannot be undone for certain: it ends with its branch, and no other branch gets
 * it.
 */
export function spoil(client: Client): void {
  spoiled.add(client);
}

/**
 * A lock is requested for this session: it counts as spoiled until the server has confirmed that the lock is
 * released.
 */
export function lockRequested(client: Client): void {
  locked.add(client);
}

/** The server has confirmed that the session holds no such lock. */
export function lockReleased(client: Client): void {
  locked.delete(client);
}

export function isSpoiled(client: Client): boolean {
  return spoiled.has(client) || locked.has(client);
}
