import { AsyncLocalStorage } from 'node:async_hooks';
import type { CallerSignal } from '../gate/caller-signal.js';
import type { Outcome } from '../outcome.js';
import type { BranchRequest } from '../participant/branch-request.js';
import { CAUSE_REFUSED, NO_BRANCHES, includes } from '../protocol/index.js';
import { CoordinatorError } from '../errors.js';
import { backoffMs } from './backoff.js';
import type { Clock } from './clock.js';
import { outcomeNow } from './outcomes.js';
import { type BranchRecord, CALL_NONE, type TransactionRecord, preparedSibling } from './records.js';

/** How often the request of a caller is run at most. */
const MAX_ATTEMPTS = 4;
const LONGEST_PAUSE_MS = 500;
/** For so long an abort is withheld from its caller at most while its rollback is not acknowledged. */
const LONGEST_WITHHELD_MS = 1_000;

/** A request that is run again: what its caller asked for, and what it is told should that not come about. */
export interface Rerun {
  readonly name: string;
  readonly branches: readonly BranchRequest[];
  readonly inTurn: boolean;
  readonly signal: CallerSignal | undefined;
  /** Of the caller's request, and so of each attempt, on the coordinator's clock. */
  readonly deadlineAt: number;
  /** How many attempts have been made. */
  readonly attempts: number;
  /** The last attempt, and what its caller was to be told when its abort was decided. */
  readonly transaction: TransactionRecord;
  readonly outcome: Outcome;
  readonly settle: (outcome: Outcome) => void;
  /** When its caller is told if its last attempt is not over by then, on the coordinator's clock. */
  readonly withheldUntil: number;
  /** When it is run again; undefined while its last attempt is not over. */
  readyAt: number | undefined;
  /** Runs something in the asynchronous context of the caller. */
  readonly inContext: (work: () => void) => void;
  readonly cancelled: () => void;
}

interface RerunParts {
  readonly clock: Clock;
  readonly random: () => number;
  readonly retryBaseMs: number;
  /** Hears of what was thrown where nothing may throw. */
  readonly defect: (error: unknown, where: string) => void;
}

/**
 * Requests that were refused because they met another transaction, and for nothing else. Their caller is not told so: they
 * are run again, as a new transaction, within the caller's time. A participant works for the new one only when the whole
 * rollback of the one before is acknowledged and each of its prepares has been answered, so that what the request does is
 * never there twice. It is done for `run()` alone: the caller of `begin()` holds the id of its transaction.
 */
export class Reruns {
  /** By its last attempt. */
  private readonly waiting = new Map<TransactionRecord, Rerun>();
  private isClosed = false;
  /** How many attempts were followed by another. */
  count = 0;

  /** Starts the next attempt. @throws what keeps it from being started; nothing once it is in flight. */
  start: (rerun: Rerun) => void = () => {
    throw new TypeError('nothing starts reruns yet');
  };

  constructor(private readonly parts: RerunParts) {}

  /** @returns whether the transaction is to be run again, so that its caller is not told this outcome. */
  takes(
    transaction: TransactionRecord,
    outcome: Outcome,
    settle: ((told: Outcome) => void) | undefined,
  ): boolean {
    if (settle === undefined || this.isClosed) return false;
    const culprit = culpritOf(transaction);
    if (culprit === undefined) return false;
    const attempts = (transaction.extras?.attemptsBefore ?? 0) + 1;
    // In its own way it would be each time.
    if (attempts > 1 && preparedSibling(culprit) !== undefined) return false;
    const { deadlineAt, extras, name } = transaction;
    const now = this.parts.clock.now();
    if (attempts >= MAX_ATTEMPTS || now + 1 >= deadlineAt) return false;
    const signal = extras?.callerSignal;
    if (signal?.isAborted) return false;
    const rerun: Rerun = {
      name,
      branches: transaction.branches.map(({ participant, payload, branchId }) => ({
        participant: participant.name,
        payload,
        branchId,
      })),
      inTurn: extras?.inTurn === true,
      signal,
      deadlineAt,
      attempts,
      transaction,
      outcome,
      settle,
      withheldUntil: Math.min(deadlineAt, now + LONGEST_WITHHELD_MS),
      readyAt: undefined,
      inContext: AsyncLocalStorage.snapshot(),
      cancelled: () => this.giveUp(rerun),
    };
    Object.assign(transaction.needExtras(), { isRunAgain: true, callerSignal: undefined });
    this.waiting.set(transaction, rerun);
    signal?.tell(rerun.cancelled);
    return true;
  }

  /** Something of a transaction has ended: its branches, or one of its calls. */
  proceed(transaction: TransactionRecord): void {
    const rerun = this.waiting.get(transaction);
    if (rerun === undefined || transaction.endedAt === 0) return;
    // A branch that reports that it committed after all has done what would be done once more.
    if (transaction.hasHeuristics) {
      this.giveUp(rerun);
      return;
    }
    if (rerun.readyAt !== undefined || !isQuiet(transaction)) return;
    const { clock, random, retryBaseMs } = this.parts;
    rerun.readyAt = clock.now() + backoffMs(rerun.attempts, retryBaseMs, LONGEST_PAUSE_MS, random());
  }

  /** A branch of it has stalled or is held: it cannot be said when its rollback is acknowledged. */
  stalled(transaction: TransactionRecord): void {
    const rerun = this.waiting.get(transaction);
    if (rerun !== undefined) this.giveUp(rerun);
  }

  /** Starts what is ready, and answers the callers whose time is over. */
  sweep(now: number): void {
    for (const rerun of this.waiting.values()) {
      const until = rerun.readyAt === undefined ? rerun.withheldUntil : rerun.deadlineAt;
      if (until <= now) this.giveUp(rerun);
      else if (rerun.readyAt !== undefined && rerun.readyAt <= now) rerun.inContext(() => this.begin(rerun));
    }
  }

  /** Runs nothing again any more: each caller that waits is told how its last attempt has ended. */
  close(): void {
    this.isClosed = true;
    for (const rerun of this.waiting.values()) this.giveUp(rerun);
  }

  private begin(rerun: Rerun): void {
    this.leave(rerun);
    try {
      this.start(rerun);
    } catch (error) {
      // It is refused at the door by now, so that no attempt follows the last one.
      this.giveUp(rerun);
      if (!(error instanceof CoordinatorError)) this.parts.defect(error, `running "${rerun.name}" again`);
    }
  }

  /** No attempt follows: the caller is told how the last one has ended. */
  giveUp(rerun: Rerun): void {
    this.leave(rerun);
    rerun.signal?.stop();
    const { transaction, outcome, settle } = rerun;
    // Since the abort was decided a branch may have reported that it committed.
    settle(transaction.hasHeuristics ? outcomeNow(transaction) : outcome);
  }

  /** It is kept no longer by its last attempt, whose record outlives it. */
  private leave(rerun: Rerun): void {
    this.waiting.delete(rerun.transaction);
    rerun.transaction.needExtras().isRunAgain = false;
  }
}

/** @returns the branch that was refused because it met another transaction, if that is the cause of the abort. */
function culpritOf({ cause, causeBranch, branches }: TransactionRecord): BranchRecord | undefined {
  if (cause !== CAUSE_REFUSED) return undefined;
  const culprit = branches[causeBranch];
  return culprit?.refusal?.conflict === true ? culprit : undefined;
}

/** Whether no participant works for it any more. */
function isQuiet({ open, awaiting, branches }: TransactionRecord): boolean {
  return (
    open === NO_BRANCHES &&
    branches.every(({ index, call }) => call === CALL_NONE || !includes(awaiting, index))
  );
}
