import { type GuardRecord, type GuardStore, isOver } from './guard-store.js';

/** The options of {@link MemoryGuardStore}: how long and how many finished records it keeps. @publicApi */
export interface MemoryGuardStoreOptions {
  /**
   * How long the record of a finished branch is kept, in milliseconds. It must be longer than any message can
   * travel, and so longer than any transaction's time-out.
   *
   * @default 3_600_000, an hour
   */
  readonly retainMs?: number;
  /** The most finished records that are kept. The oldest are dropped first. @default 100_000 */
  readonly retainRecords?: number;
  /** A monotonic clock, in milliseconds. @default performance.now */
  readonly now?: () => number;
}

/**
 * Keeps guard records in memory, for participants whose data is in memory as well. It drops finished records
 * when they expire, or earlier when there are too many, but not while a coordinator may still call the
 * branch.
 *
 * @publicApi
 */
export class MemoryGuardStore implements GuardStore {
  private readonly open = new Map<string, GuardRecord>();
  /** In the order in which the branches ended, the oldest first. */
  private readonly over = new Map<string, { readonly record: GuardRecord; readonly expiresAt: number }>();
  /** Finished records kept beyond their time: as many as coordinators have unsettled branches. */
  private readonly needed = new Map<string, { readonly record: GuardRecord; readonly expiresAt: number }>();
  private readonly questions: ((key: string) => boolean)[] = [];
  private readonly retainMs: number;
  private readonly retainRecords: number;
  private readonly now: () => number;

  constructor({
    retainMs = 3_600_000,
    retainRecords = 100_000,
    now = () => performance.now(),
  }: MemoryGuardStoreOptions = {}) {
    this.retainMs = retainMs;
    this.retainRecords = retainRecords;
    this.now = now;
  }

  /** The number of records. */
  get size(): number {
    return this.open.size + this.over.size + this.needed.size;
  }

  get(key: string): GuardRecord | undefined {
    return this.open.get(key) ?? this.over.get(key)?.record ?? this.needed.get(key)?.record;
  }

  insert(key: string, record: GuardRecord): GuardRecord | undefined {
    const existing = this.get(key);
    if (existing === undefined) this.put(key, record);
    return existing;
  }

  put(key: string, record: GuardRecord): void {
    this.over.delete(key);
    this.needed.delete(key);
    if (!isOver(record)) {
      this.open.set(key, record);
      return;
    }
    this.open.delete(key);
    const now = this.now();
    this.over.set(key, { record, expiresAt: now + this.retainMs });
    this.drop(now);
  }

  /** One question from each guard that uses this store. */
  keepWhile(isNeeded: (key: string) => boolean): void {
    this.questions.push(isNeeded);
  }

  private drop(now: number): void {
    for (const [key, { record, expiresAt }] of this.over) {
      if (this.over.size <= this.retainRecords && expiresAt > now) break;
      this.over.delete(key);
      this.keepNeeded(key, record, now);
    }
    for (const [key, { record, expiresAt }] of this.needed) {
      if (expiresAt > now) return;
      this.needed.delete(key);
      this.keepNeeded(key, record, now);
    }
  }

  /** A coordinator may still call the branch, so its record is kept and checked again later. */
  private keepNeeded(key: string, record: GuardRecord, now: number): void {
    if (!this.questions.some((isNeeded) => isNeeded(key))) return;
    this.needed.set(key, { record, expiresAt: now + Math.max(1, this.retainMs) });
  }
}
