import { type AbortVote, type Vote, isRefusal } from '../participant/participant.js';

/** What a guard remembers of one branch. It can be written as JSON, and a store keeps all of its fields. @publicApi */
export type GuardRecord =
  /** Its prepare is at work, or was when the process ended. */
  | { readonly state: 'preparing'; readonly by?: string }
  /** It answered prepare so, and was told no decision yet. */
  | { readonly state: 'voted'; readonly vote: Vote }
  /** Its prepare threw, and may have done something all the same. */
  | { readonly state: 'failed'; readonly message: string }
  /** It was told to commit. The work is at it, or was when the process ended; or it threw, and is due again. */
  | { readonly state: 'committing'; readonly step: GuardStep; readonly by?: string }
  | { readonly state: 'committed' }
  /** It is being rolled back. The undo is at it, or was when the process ended; or it threw, and is due again. */
  | {
      readonly state: 'rolling-back';
      readonly step: GuardStep;
      readonly by?: string;
      readonly answer?: AbortVote | undefined;
    }
  /** Not of a branch: a run of a coordinator, with its token. It is never dropped. */
  | { readonly state: 'run'; readonly token: string }
  /** It is rolled back, or was before it ever prepared: a prepare that comes now is refused. */
  | { readonly state: 'rolled-back'; readonly answer?: AbortVote | undefined };

/** Whether an effect was begun and its end was not written down, or is known to have failed. @publicApi */
export type GuardStep = 'begun' | 'failed';

type Awaitable<T> = T | Promise<T>;

/**
 * Where a guard keeps its records. The records should be as durable as the work: if the work outlives the process, so
 * must they. A store drops by itself what is over (`committed`, `rolled-back`, a vote that holds nothing), but not before
 * a late message can no longer come, and not while {@link GuardStore.keepWhile} says that a coordinator needs it; it
 * never drops the rest. What it has rejected must not be written later. Each call has to end: while one hangs, the guard
 * answers nothing for the branch.
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
  /**
   * Hands over a question that the store asks before it drops the record of a key. Optional: for a store that drops records.
   *
   * @param isNeeded whether a coordinator may still call the branch, because its transaction is not settled.
   */
  keepWhile?(isNeeded: (key: string) => boolean): void;
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
    case 'committing':
    case 'rolling-back':
    case 'run':
      return false;
  }
}

/** @returns whether a branch that voted so holds nothing. An answer that is no vote proves nothing. */
export function holdsNothing(vote: Vote): boolean {
  return vote === 'read-only' || isRefusal(vote);
}
