import type { DatabasesView, LockHolder, LockWait, PreparedView } from '../api/views.js';
import { plural } from './numbers.js';

/** What the coordinator knows of a prepared transaction, in words. */
export const KNOWLEDGE_WORDS: Readonly<Record<PreparedView['knowledge'], string>> = {
  commit: 'commit decided',
  abort: 'abort decided',
  open: 'not decided',
  unknown: 'decision not known',
  foreign: 'not ours',
};

/** @returns a session that waits or holds a lock. */
export function sessionWords({ id, user, application, state }: LockWait['session']): string {
  const parts = [application, user === null ? null : `user ${user}`, state].filter((part) => part !== null);
  return parts.length === 0 ? `session ${id}` : `session ${id} (${parts.join(', ')})`;
}

/** @returns who holds a lock. */
export function holderWords({ session, prepared }: LockHolder): string {
  if (session === null)
    return prepared === null ? 'a prepared transaction, which the database does not name' : prepared;
  return prepared === null ? sessionWords(session) : `${prepared}, in ${sessionWords(session)}`;
}

/** @returns how many sessions wait for each prepared transaction that is named. */
export function waitersOf(waits: readonly LockWait[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { blockedBy } of waits) {
    const held = new Set(blockedBy.flatMap(({ prepared }) => (prepared === null ? [] : [prepared])));
    for (const id of held) counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return counts;
}

/** @returns the whole in one sentence. */
export function databasesWords({ databases }: DatabasesView): string {
  const sum = (of: 'preparedTotal' | 'waitsTotal'): number =>
    databases.reduce((total, database) => total + database[of], 0);
  const failed = databases.filter(({ problem }) => problem !== null).length;
  const seen = `${plural(sum('preparedTotal'), 'prepared transaction')}, ${plural(sum('waitsTotal'), 'waiting session')}`;
  return failed === 0 ? `${seen}.` : `${seen}; ${plural(failed, 'database')} cannot be seen now.`;
}
