import type { CoordinatorRun } from '../participant/participant.js';
import { originOf } from '../protocol/index.js';
import type { GuardRecord } from './guard-store.js';

/** A branch of a participant. @publicApi */
export interface GuardedBranch {
  readonly participant: string;
  readonly transactionId: string;
  readonly branchId: string;
}

/** The record of a branch, as a store of several processes holds it. @publicApi */
export interface StoredGuardRecord {
  readonly record: GuardRecord;
  /** Changes with each write, and never takes a value again. */
  readonly version: number;
  /** Whether the process that wrote it still has time for its call, by the clock of the store. */
  readonly isHeld: boolean;
}

/** The result of a conditional write: the new version; or the record that is stored instead. @publicApi */
export type GuardWrite =
  | { readonly isWritten: true; readonly version: number }
  | { readonly isWritten: false; readonly stored: StoredGuardRecord | undefined };

/**
 * No call of a transaction of this epoch comes any more whose number is at most `sequence`. The epoch 0
 * stands for whole epochs: `sequence` is the highest epoch that is over.
 *
 * @publicApi
 */
export interface LowWaterMark {
  readonly epoch: number;
  readonly sequence: number;
}

/**
 * Stores the records of guards in several processes at the same time: the replicas of a participant host.
 * Each write is one atomic step. After a write was rejected it is unknown whether it has taken effect, and it
 * must not take effect later.
 *
 * @publicApi
 */
export interface ReplicaGuardStore {
  /** Whether the records outlive the process. */
  readonly durable: boolean;

  /**
   * Finds out whether the store can be used, before anything else. Optional. An error stops the start of the
   * host.
   */
  start?(): Promise<void>;

  read(branch: GuardedBranch): Promise<StoredGuardRecord | undefined>;

  /**
   * Writes a record, unless there is one.
   *
   * @param holdMs for how long other processes leave the branch to this one, by the clock of the store.
   * @param unlessOver whether to write nothing for a transaction at or below its low-water mark. The result
   * then has no record.
   */
  insert(
    branch: GuardedBranch,
    record: GuardRecord,
    holdMs: number,
    unlessOver: boolean,
  ): Promise<GuardWrite>;

  /** Replaces a record whose version is still this one. */
  replace(branch: GuardedBranch, version: number, record: GuardRecord, holdMs: number): Promise<GuardWrite>;

  /**
   * Lists the branches of a participant that may hold something and have no final record, in the order of
   * `<transactionId>/<branchId>`, compared by code units.
   *
   * @param after the key after which the list begins. @default the first
   * @param limit the most branches in the answer.
   */
  listOpen(participant: string, after: string | undefined, limit: number): Promise<GuardedBranch[]>;

  /**
   * Keeps the token of a run of a coordinator, unless there is one for its log and epoch.
   *
   * @returns the token that is kept; '' when there is none, and the whole epoch is over: no run of it makes a
   * call any more.
   */
  admitRun(run: Pick<CoordinatorRun, 'logId' | 'epoch' | 'token'>): Promise<string>;

  /** Raises the low-water marks of a log. A mark never falls. */
  raise(logId: string, marks: readonly LowWaterMark[]): Promise<void>;

  /** Whether a transaction is at or below its low-water mark. */
  isOver(transactionId: string): Promise<boolean>;

  /**
   * Drops final records at or below the low-water marks that were stored when it was last called. So between
   * a mark and the loss of a record there is the whole interval between two calls. Of epochs that are over as
   * a whole it drops the marks and the tokens as well: the mark of the epoch 0 says all of it.
   *
   * @returns the number of records that were dropped.
   */
  purge(): Promise<number>;

  /** Closes what is open, after the last call. Optional. The host that uses the store calls it. */
  close?(): Promise<void>;
}

/** The place of a transaction in its log: the number within its epoch. */
export interface PlaceInLog {
  readonly logId: string;
  readonly epoch: number;
  readonly sequence: number;
}

/** @returns undefined for an id that no coordinator has made. @publicApi */
export function placeInLog(transactionId: string): PlaceInLog | undefined {
  const origin = originOf(transactionId);
  if (origin === undefined) return undefined;
  const sequence = Number(transactionId.slice(transactionId.lastIndexOf('.') + 1));
  return { logId: origin.logId, epoch: origin.epoch, sequence };
}
