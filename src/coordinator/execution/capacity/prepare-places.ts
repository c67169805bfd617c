import { type InContext, presentContext } from '../../gate/present-context.js';
import { State } from '../../protocol/index.js';
import type { Places } from '../../participant/registered-participant.js';
import type { BranchRecord } from '../records.js';
import type { Clock } from '../clock.js';

/**
 * If a wait for a place takes a larger part of a transaction's time than this, too much is in progress.
 * Exception: the branches that have the places wait for each other's rows; fewer transactions would not speed
 * them up. The part is not smaller, because waiting branches hold nothing, and most refused callers come back
 * at once.
 */
const LONG_WAIT = 1 / 4;
/**
 * The most times that the number of places is lowered: branches that wait for one row are refused together.
 */
const NARROWED_EVERY_MS = 100;

interface Waiting {
  readonly since: number;
  /** Runs a function in the asynchronous context of the waiting caller. */
  readonly inContext: InContext;
}

/**
 * Limits how many branches a participant prepares at the same time, and queues the others. A branch that is
 * asked in turn waits here, not inside the participant: there its time to prepare would run. While it waits
 * it may still be withdrawn. While a participant has no free place, every transaction is asked in turn.
 * Transactions that are asked all at once take their places without waiting.
 *
 * If branches are refused because they waited too long for each other's rows, half of the places close, and
 * the branches wait here, where a lock wait cannot refuse them. Each branch that succeeds opens one place
 * again.
 */
export class PreparePlaces implements Places {
  private readonly holders = new Set<BranchRecord>();
  /** Branches of running transactions. They may hold rows that others wait for, so they come first. */
  private readonly continuing = new Map<BranchRecord, Waiting>();
  /** Branches of transactions that hold nothing yet. */
  private readonly starting = new Map<BranchRecord, Waiting>();

  /** The number of branches that may be asked at once now. */
  private width: number;
  private narrowedAt = Number.NEGATIVE_INFINITY;

  /** @param limit at least 1. */
  constructor(
    private readonly limit: number,
    private readonly clock: Clock,
    private readonly ask: (branch: BranchRecord) => void,
    /** Whether transactions have conflicted there lately. */
    private readonly isContended: () => boolean,
  ) {
    this.width = limit;
  }

  get isFull(): boolean {
    return this.holders.size >= Math.floor(this.width);
  }

  conflicted(): void {
    const now = this.clock.now();
    if (now < this.narrowedAt + NARROWED_EVERY_MS) return;
    this.narrowedAt = now;
    this.width = Math.max(1, this.width / 2);
  }

  gotThrough(): void {
    if (this.width < this.limit) this.width = Math.min(this.limit, this.width + 1 / this.width);
  }

  take(branch: BranchRecord): void {
    this.holders.add(branch);
  }

  /** Asks the branch as soon as it has a place and the rest of what it needs, in the order of arrival. */
  request(branch: BranchRecord): void {
    const isAtWork = branch.transaction.extras?.isAtWork === true;
    if (this.isFull || (!isAtWork && isBusy(branch))) {
      const waiting = { since: this.clock.now(), inContext: presentContext() };
      (isAtWork ? this.continuing : this.starting).set(branch, waiting);
    } else this.ask(branch);
  }

  /** The branch has answered, or its transaction is decided. Without effect if the branch has no place. */
  release(branch: BranchRecord): void {
    this.continuing.delete(branch);
    this.starting.delete(branch);
    if (this.holders.delete(branch)) this.serve();
  }

  serve(): void {
    for (const [branch, waiting] of this.continuing) {
      if (this.isFull) return;
      this.continuing.delete(branch);
      this.begin(branch, waiting);
    }
    for (const [branch, waiting] of this.starting) {
      if (this.isFull || isBusy(branch)) return;
      this.starting.delete(branch);
      this.begin(branch, waiting);
    }
  }

  private begin(branch: BranchRecord, { since, inContext }: Waiting): void {
    if (branch.transaction.state !== State.PREPARING) return;
    this.notice(branch, since);
    inContext(() => this.ask(branch));
  }

  private notice({ participant, transaction }: BranchRecord, since: number): void {
    if (this.isContended()) return;
    const now = this.clock.now();
    const { startedAt, deadlineAt } = transaction;
    if (now - since > (deadlineAt - startedAt) * LONG_WAIT) participant.server?.queuedLong(now);
  }
}

function isBusy({ participant }: BranchRecord): boolean {
  return participant.server?.isBusy === true;
}
