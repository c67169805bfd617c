import type { Client } from 'pg';

const spoiled = new WeakSet<Client>();

/**
 * The effects on this session cannot be undone for certain: it ends with its branch, and no other branch gets
 * it.
 */
export function spoil(client: Client): void {
  spoiled.add(client);
}

export function isSpoiled(client: Client): boolean {
  return spoiled.has(client);
}
