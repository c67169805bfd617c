import { InvalidOptionsError } from '../coordinator/errors.js';
import type { GuardRecord, StoredGuardRecord } from '../coordinator/guard/index.js';
import { MarksCopy, type StoredMarks, keyOfMark } from './guard-records.js';

/** The most records of a host's guard that one statement drops. */
export const PURGED_AT_ONCE = 1_000;

/** A row of the records, as text. */
export type RecordRow = {
  readonly record: string;
  readonly version: string;
  readonly is_held: string;
};

/** A row of the low-water marks, as text. */
export type MarkRow = {
  readonly log_id: string;
  readonly epoch: string;
  readonly sequence: string;
};

/** The work of the guard store of a database in its sessions. */
export interface StoreSessions<S> {
  /** Runs a task on a session of its own, within the limit of a call. */
  onSession<T>(task: (session: S) => Promise<T>): Promise<T>;
  /** Makes the tables, or sees that they can be used. @throws a start-up error. */
  prepareTables(session: S): Promise<void>;
  /** @returns all low-water marks. */
  markRows(session: S): Promise<readonly MarkRow[]>;
  /**
   * Drops final records at or below a mark, at most {@link PURGED_AT_ONCE}.
   *
   * @param epoch '0' for all epochs up to `sequence`.
   */
  dropRecords(session: S, logId: string, epoch: string, sequence: number): Promise<number>;
  /** Drops the marks and the tokens of all epochs up to this one. */
  dropEpochs(session: S, logId: string, epoch: number): Promise<void>;
}

/**
 * The part of a host's guard store that is the same at every database: its tables come first, and marks
 * decide what is dropped.
 */
export class StoreAccess<S> {
  private readonly marks = new MarksCopy(() => this.run((session) => this.readMarks(session)));
  private marksBefore: StoredMarks = new Map();
  private ready: Promise<void> | undefined;

  constructor(private readonly sessions: StoreSessions<S>) {}

  /** Makes the tables, if they are missing. @throws a start-up error when they cannot be used. */
  async start(): Promise<void> {
    await this.run((session) => this.readMarks(session));
  }

  /** Runs a task on a session. The tables are there. */
  async run<T>(task: (session: S) => Promise<T>): Promise<T> {
    await (this.ready ??= this.prepareTables());
    return this.sessions.onSession(task);
  }

  /** Whether a transaction is at or below its mark. */
  isOver(transactionId: string): Promise<boolean> {
    return this.marks.isOver(transactionId);
  }

  /** Drops what the marks of the last pass cover. @returns the number of dropped records. */
  purge(): Promise<number> {
    return this.run(async (session) => {
      let dropped = 0;
      for (const [key, sequence] of this.marksBefore) {
        const [logId, epoch] = key.split('/') as [string, string];
        for (let last = PURGED_AT_ONCE; last === PURGED_AT_ONCE; dropped += last) {
          last = await this.sessions.dropRecords(session, logId, epoch, sequence);
        }
        // The mark of whole epochs says what their own marks and tokens said.
        if (epoch === '0') await this.sessions.dropEpochs(session, logId, sequence);
      }
      this.marksBefore = await this.readMarks(session);
      return dropped;
    });
  }

  /** Waits until no tables are made any more. It never throws. */
  async settled(): Promise<void> {
    await this.ready?.catch(() => {});
  }

  private async prepareTables(): Promise<void> {
    try {
      await this.sessions.onSession((session) => this.sessions.prepareTables(session));
    } catch (error) {
      // The next call tries again.
      this.ready = undefined;
      throw error;
    }
  }

  private async readMarks(session: S): Promise<StoredMarks> {
    const rows = await this.sessions.markRows(session);
    return new Map(rows.map((row) => [keyOfMark(row.log_id, row.epoch), Number(row.sequence)]));
  }
}

/** @param yes how the database writes true. */
export function storedRecord(row: RecordRow | undefined, yes: string): StoredGuardRecord | undefined {
  if (row === undefined) return undefined;
  const record = JSON.parse(row.record) as GuardRecord;
  return { record, version: Number(row.version), isHeld: row.is_held === yes };
}

/**
 * @param numbers each must be a whole number from 1.
 * @param unknown the other values that were given.
 * @param problems that were found before.
 * @throws InvalidOptionsError when an option is unknown or impossible.
 */
export function checkStoreOptions(
  subject: string,
  numbers: Readonly<Record<string, number>>,
  unknown: object,
  problems: readonly string[] = [],
): void {
  const all = [
    ...Object.keys(unknown).map((name) => `${name}: is not an option`),
    ...problems,
    ...Object.entries(numbers)
      .filter(([, value]) => !Number.isInteger(value) || value < 1)
      .map(([name]) => `${name}: must be a whole number from 1`),
  ];
  if (all.length > 0) throw new InvalidOptionsError(subject, all);
}
