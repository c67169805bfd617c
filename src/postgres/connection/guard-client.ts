import type { Client } from 'pg';
import { noteWaits } from './replication.js';

const guarded = new WeakSet<Client>();

/**
 * Ensures that no error of an open connection ends the process, from now until its end. A server may end a
 * session at any moment: between its opening and its first use, while it is idle, and while it closes. At
 * each of these moments the callers learn of it by the failure of their queries. Without a caller, nothing is
 * lost.
 */
export function guardClient(client: Client): void {
  if (guarded.has(client)) return;
  guarded.add(client);
  client.on('error', ignore);
  noteWaits(client);
}

function ignore(): void {}
