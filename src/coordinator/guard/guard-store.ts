import type { Awaitable } from './awaitable.js';
import { type AbortVote, type Vote, isRefusal } from '../participant/participant.js';

/**
 * The record of one branch in a guard. It can be written as JSON, and a store keeps all its fields.
 * @publicApi
 */
export type GuardRecord =
  /** Its prepare is running, or was running when the process ended. */
  | { readonly state: 'preparing'; readonly by?: string }
  /**
   * It gave this answer to prepare, and has received no decision yet. `expiresAt` is when a vote that expires
   * does, in milliseconds since the epoch.
   */
  | { readonly state: 'voted'; readonly vote: Vote; readonly expiresAt?: number }
  /** Its prepare threw an error, but may have had an effect. */
  | { readonly state: 'failed'; readonly message: string }
  /**
   * It received a commit. The work is running, or was running when the process ended; or it threw an error
   * and must be repeated.
   */
  | { readonly state: 'committing'; readonly step: GuardStep; readonly by?: string }
  | { readonly state: 'committed' }
  /**
   * It is being rolled back. The undo is running, or was running when the process ended; or it threw an error
   * and must be repeated.
   */
  | {
      readonly state: 'rolling-back';
      readonly step: GuardStep;
      readonly by?: string;
      readonly answer?: AbortVote | undefined;
    }
  /** The record of a run of a coordinator, with its token, not of a branch. It is never dropped. */
  | { readonly state: 'run'; readonly token: string }
  /** It is rolled back, or a rollback came before any prepare. A later prepare is refused. */
  | { readonly state: 'rolled-back'; readonly answer?: AbortVote | undefined };

/** Whether an effect was started and its end was not recorded, or is known to have failed. @publicApi */
export type GuardStep = 'begun' | 'failed';

/**
 * Stores the records of a guard. The records should be as durable as the work: if the work outlives the
 * process, so must they. A store drops finished records by itself (`committed`, `rolled-back`, a vote that
 * holds nothing), but only when no late message can arrive, and never while {@link GuardStore.keepWhile} says
 * that a coordinator needs the record. It never drops other records. After it has rejected a write, it must
 * not perform it later. Each call must end: while one hangs, the guard answers no call for the branch.
 *
 * @publicApi
 */
export interface GuardStore {
  /** @returns the record of the branch, or undefined. */
  get(key: string): Awaitable<GuardRecord | undefined>;
  /**
   * Writes a record unless there is one for the branch, in one atomic step, also against other processes.
   *
   * @returns the existing record, or undefined when this one was written.
   */
  insert(key: string, record: GuardRecord): Awaitable<GuardRecord | undefined>;
  /** Replaces the record of the branch, or writes it when there is none. */
  put(key: string, record: GuardRecord): Awaitable<void>;
  /**
   * Receives a question that the store must ask before it drops the record of a key. Optional: for a store
   * that drops records.
   *
   * @param isNeeded whether a coordinator may still call the branch, because its transaction is not settled.
   */
  keepWhile?(isNeeded: (key: string) => boolean): void;
}

/** @returns whether a store may drop the record after some time. */
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

/** @returns whether a branch with this vote holds nothing. An answer that is not a vote proves nothing. */
export function holdsNothing(vote: Vote): boolean {
  return vote === 'read-only' || isRefusal(vote);
}
