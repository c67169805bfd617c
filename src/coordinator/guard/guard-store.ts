import { type Vote, isRefusal } from '../participant/participant.js';

/** What a guard remembers of one branch. It can be written as JSON. @publicApi */
export type GuardRecord =
  /** Its prepare is at work, or was when the process ended. */
  | { readonly state: 'preparing' }
  /** It answered prepare so, and was told no decision yet. */
  | { readonly state: 'voted'; readonly vote: Vote }
  /** Its prepare threw, and may have done something all the same. */
  | { readonly state: 'failed'; readonly message: string }
  | { readonly state: 'committed' }
  /** It is rolled back, or was before it ever prepared: a prepare that comes now is refused. */
  | { readonly state: 'rolled-back' };

type Awaitable<T> = T | Promise<T>;

/**
 * Where a guard keeps its records. A store beside the participant's own data, written in the same local transaction,
 * makes the guard as durable as the work it guards. A store drops by itself what is over (`committed`,
 * `rolled-back`, a vote that holds nothing), but not before a late message can no longer come; it never drops the rest.
 *
 * @publicApi
 */
export interface GuardStore {
  /** @returns the record of the branch, or undefined. */
  get(key: string): Awaitable<GuardRecord | undefined>;

  /**
   * Writes a record unless there is one for the branch: one atomic step, also against other processes.
   *
   * @returns the record that was there, or undefined when this one was written.
   */
  insert(key: string, record: GuardRecord): Awaitable<GuardRecord | undefined>;

  /** Replaces the record of the branch, or writes it when there is none. */
  put(key: string, record: GuardRecord): Awaitable<void>;
}

/** @returns whether a store may drop the record in time. */
export function isOver(record: GuardRecord): boolean {
  switch (record.state) {
    case 'committed':
    case 'rolled-back':
      return true;
    case 'voted':
      return holdsNothing(record.vote);
    case 'preparing':
    case 'failed':
      return false;
  }
}

/** @returns whether a branch that voted so holds nothing. An answer that is no vote proves nothing. */
export function holdsNothing(vote: Vote): boolean {
  return vote === 'read-only' || isRefusal(vote);
}
