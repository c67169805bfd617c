import { Signatures } from './grouped-work.js';

/** The most kinds of work that are remembered. */
const MOST = 100;

/** How long work that was slow stays out of groups: it may only have waited. */
const SLOW_FOR_MS = 60_000;

/** A member that takes longer than this keeps all others waiting. */
export const SLOW_MS = 100;

/**
 * The number of latest times of work that count for its pace, so that a busy machine does not end groups for
 * a minute.
 */
const LATEST = 4;

/** Alone, work that takes longer than this is slow: it includes the prepare, which may wait for the disk. */
const SLOW_ALONE_MS = 500;

/**
 * The work that runs on its own, for all its values: it was slow, or could not be prepared. And the work that
 * only reads.
 */
export class Loners {
  /** Identifies work apart from its values. */
  readonly signatures = new Signatures();
  private readonly until = new Map<string, number>();
  private allUntil = 0;
  private readonly readers = new Set<string>();
  /** How slow the latest work was, as a part of what is slow. */
  private readonly paces = new Map<string, number>();

  /** Whether no work is part of a group. */
  get keepAllOut(): boolean {
    return this.allUntil > performance.now();
  }

  has(signature: string): boolean {
    if (this.keepAllOut) return true;
    const until = this.until.get(signature);
    if (until === undefined) return false;
    if (until > performance.now()) return true;
    this.until.delete(signature);
    return false;
  }

  /**
   * It has used what a prepared transaction must not, such as a temporary table: a whole group would fail
   * with it.
   */
  cannotBePrepared(signature: string): void {
    this.note(signature, Infinity);
  }

  /** @param ms how long it took in a group. */
  took(signature: string, ms: number): void {
    this.paced(signature, ms / SLOW_MS);
  }

  /** @param ms how long it took on its own, with its prepare. */
  tookAlone(ms: number, signatureOf: () => string | undefined): void {
    if (ms <= SLOW_ALONE_MS && this.paces.size === 0) return;
    const signature = signatureOf();
    if (signature !== undefined) this.paced(signature, ms / SLOW_ALONE_MS);
  }

  /**
   * It has voted read-only. On its own, a branch that votes so is rolled back, even if a statement, a
   * function or a trigger has written. So in groups its work is undone from now on.
   */
  votedReadOnly(signature: string): void {
    if (this.readers.size === MOST) this.readers.delete(this.readers.values().next().value!);
    this.readers.add(signature);
  }

  /** Whether its work in a group is undone, as it votes read-only. */
  isReader(signature: string): boolean {
    return this.readers.has(signature);
  }

  /** It has voted read-only, and votes otherwise now: no group can know before. */
  writesAfterAll(signature: string): void {
    this.readers.delete(signature);
    this.note(signature, performance.now() + SLOW_FOR_MS);
  }

  /**
   * The database has triggers that must run at the end of their own transaction: for a while no work is part
   * of a group.
   */
  keepsAllOut(): void {
    this.allUntil = performance.now() + SLOW_FOR_MS;
  }

  private paced(signature: string, share: number): void {
    const before = this.paces.get(signature);
    const pace = before === undefined ? share : before + (share - before) / LATEST;
    if (pace > 1) {
      this.paces.delete(signature);
      this.note(signature, performance.now() + SLOW_FOR_MS);
      return;
    }
    if (before === undefined && this.paces.size === MOST) this.paces.delete(this.paces.keys().next().value!);
    this.paces.set(signature, pace);
  }

  private note(signature: string, until: number): void {
    this.until.delete(signature);
    if (this.until.size === MOST) this.until.delete(this.until.keys().next().value!);
    this.until.set(signature, until);
  }
}
