import {
  type GuardRecord,
  type GuardedBranch,
  type PlaceInLog,
  placeInLog,
} from '../coordinator/guard/index.js';

/**
 * How old the copy of the marks may be by which prepares of participants are refused that guard themselves.
 */
const MARKS_MS = 1_000;

/** The low-water marks that a database stores, by log and epoch. */
export type StoredMarks = ReadonlyMap<string, number>;

/** @returns the key of a branch in a table, in the order of its columns. */
export function keyOf({ participant, transactionId, branchId }: GuardedBranch): string[] {
  return [participant, transactionId, branchId];
}

/** @returns the key of a mark. The epoch 0 stands for all epochs up to its number. */
export function keyOfMark(logId: string, epoch: number | string): string {
  return `${logId}/${epoch}`;
}

/** @throws RangeError for an id that no coordinator has made. */
export function placeOf({ transactionId }: GuardedBranch): PlaceInLog {
  const place = placeInLog(transactionId);
  if (place !== undefined) return place;
  throw new RangeError(`${JSON.stringify(transactionId)} is no id of a transaction of a coordinator.`);
}

/** Whether the branch holds nothing, and the record serves only to answer repeats. */
export function isFinal(record: GuardRecord): boolean {
  if (record.state === 'voted') return record.vote !== 'commit';
  return record.state === 'committed' || record.state === 'rolled-back';
}

/** A copy of the marks, which is read again when it is old. */
export class MarksCopy {
  private copy: { readonly at: number; readonly marks: StoredMarks } | undefined;

  constructor(private readonly read: () => Promise<StoredMarks>) {}

  /**
   * Whether a transaction is at or below its mark.
   *
   * @throws the error that prevents reading the marks.
   */
  async isOver(transactionId: string): Promise<boolean> {
    const now = performance.now();
    if (this.copy === undefined || now - this.copy.at > MARKS_MS) {
      this.copy = { at: now, marks: await this.read() };
    }
    const place = placeInLog(transactionId);
    if (place === undefined) return false;
    const { logId, epoch, sequence } = place;
    const { marks } = this.copy;
    return (
      (marks.get(keyOfMark(logId, 0)) ?? 0) >= epoch || (marks.get(keyOfMark(logId, epoch)) ?? 0) >= sequence
    );
  }
}
