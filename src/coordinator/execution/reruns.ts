import { type InContext, presentContext } from '../gate/present-context.js';
import type { CallerSignal } from '../gate/caller-signal.js';
import type { Outcome } from '../outcome.js';
import type { BranchRequest } from '../participant/branch-request.js';
import { Branches, Cause, includes } from '../protocol/index.js';
import { CoordinatorError } from '../errors.js';
import { backoffMs } from './backoff.js';
import type { Clock } from './clock.js';
import { outcomeNow } from './outcomes.js';
import { type BranchRecord, Call, type TransactionRecord } from './records.js';
import { preparedSibling } from './siblings.js';
import type { TransactionExtras } from './transaction-extras.js';

/** The most runs of a caller's request. */
const MAX_ATTEMPTS = 4;
const LONGEST_PAUSE_MS = 500;
/** The longest time that an abort is withheld from its caller while its rollback is not acknowledged. */
const LONGEST_WITHHELD_MS = 1_000;

/**
 * A request that is run again: the request of its caller, and the outcome to give if there is no further run.
 */
export interface Rerun {
  readonly name: string;
  readonly branches: readonly BranchRequest[];
  readonly inTurn: boolean;
  /** The key of the request, if it has one. */
  readonly requestKey: TransactionExtras<unknown, unknown>['requestKey'];
  readonly attributes: TransactionExtras<unknown, unknown>['attributes'];
  /** The id of the request of its caller, if it has one. Each attempt has a span of its own. */
  readonly requestId: string | undefined;
  readonly signal: CallerSignal | undefined;
  /** The deadline of the caller's request, and so of each attempt, on the coordinator's clock. */
  readonly deadlineAt: number;
  /** The number of attempts so far. */
  readonly attempts: number;
  /** The last attempt, and the outcome that its caller would have received at the abort. */
  readonly transaction: TransactionRecord;
  readonly outcome: Outcome;
  readonly settle: (outcome: Outcome) => void;
  /** When its caller is answered if its last attempt has not ended by then, on the coordinator's clock. */
  readonly withheldUntil: number;
  /** When it is run again; undefined until its last attempt has ended. */
  readyAt: number | undefined;
  /** Runs a function in the asynchronous context of the caller. */
  readonly inContext: InContext;
  readonly cancelled: () => void;
}

interface RerunParts {
  readonly clock: Clock;
  readonly random: () => number;
  readonly retryBaseMs: number;
  /** Receives errors of code that must not throw. */
  readonly defect: (error: unknown, where: string) => void;
}

/**
 * Requests that were refused only because of a conflict with another transaction. Instead of an answer to
 * their caller they are run again, as a new transaction, within the caller's time. A participant works for
 * the new transaction only when the whole rollback of the previous one is acknowledged and each of its
 * prepares has been answered, so that the effect of the request never exists twice. This is done for `run()`
 * only: the caller of `begin()` holds the id of its transaction.
 */
export class Reruns {
  /** By its last attempt. */
  private readonly waiting = new Map<TransactionRecord, Rerun>();
  private isClosed = false;
  /** The number of attempts that were followed by another. */
  count = 0;

  /** Starts the next attempt. @throws an error that prevents the start; nothing once it is in flight. */
  start: (rerun: Rerun) => void = () => {
    throw new TypeError('nothing starts reruns yet');
  };

  constructor(private readonly parts: RerunParts) {}

  /** @returns whether the transaction is run again, so that its caller does not receive this outcome. */
  takes(
    transaction: TransactionRecord,
    outcome: Outcome,
    settle: ((told: Outcome) => void) | undefined,
  ): boolean {
    if (settle === undefined || this.isClosed) return false;
    const culprit = culpritOf(transaction);
    if (culprit === undefined && transaction.extras?.group?.place?.isRunAgain !== true) return false;
    const attempts = (transaction.extras?.attemptsBefore ?? 0) + 1;
    // The request would fail for its own reason each time.
    if (attempts > 1 && culprit !== undefined && preparedSibling(culprit) !== undefined) return false;
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
      requestKey: extras?.requestKey,
      attributes: extras?.attributes,
      requestId: extras?.caller?.requestId,
      signal,
      deadlineAt,
      attempts,
      transaction,
      outcome,
      settle,
      withheldUntil: Math.min(deadlineAt, now + LONGEST_WITHHELD_MS),
      readyAt: undefined,
      inContext: presentContext(),
      cancelled: () => this.giveUp(rerun),
    };
    Object.assign(transaction.needExtras(), { isRunAgain: true, callerSignal: undefined });
    this.waiting.set(transaction, rerun);
    signal?.tell(rerun.cancelled);
    return true;
  }

  /** A branch of a transaction, or one of its calls, has ended. */
  proceed(transaction: TransactionRecord): void {
    const rerun = this.waiting.get(transaction);
    if (rerun === undefined || transaction.endedAt === 0) return;
    // A branch that reports a commit has done work that a rerun would do again.
    if (transaction.hasHeuristics) {
      this.giveUp(rerun);
      return;
    }
    if (rerun.readyAt !== undefined || !isQuiet(transaction)) return;
    const { clock, random, retryBaseMs } = this.parts;
    rerun.readyAt = clock.now() + backoffMs(rerun.attempts, retryBaseMs, LONGEST_PAUSE_MS, random());
  }

  /** A branch has stalled or is held: the time of its acknowledgement is unknown. */
  stalled(transaction: TransactionRecord): void {
    const rerun = this.waiting.get(transaction);
    if (rerun !== undefined) this.giveUp(rerun);
  }

  /** Starts the attempts that are ready, and answers the callers whose time is up. */
  sweep(now: number): void {
    for (const rerun of this.waiting.values()) {
      const until = rerun.readyAt === undefined ? rerun.withheldUntil : rerun.deadlineAt;
      if (until <= now) this.giveUp(rerun);
      else if (rerun.readyAt !== undefined && rerun.readyAt <= now) rerun.inContext(() => this.begin(rerun));
    }
  }

  /** Runs nothing again: each waiting caller is told how its last attempt ended. */
  close(): void {
    this.isClosed = true;
    for (const rerun of this.waiting.values()) this.giveUp(rerun);
  }

  private begin(rerun: Rerun): void {
    this.leave(rerun);
    try {
      this.start(rerun);
    } catch (error) {
      // Admission refuses it by now, so no further attempt follows.
      this.giveUp(rerun);
      if (!(error instanceof CoordinatorError)) this.parts.defect(error, `running "${rerun.name}" again`);
    }
  }

  /** No attempt follows: the caller is told how the last one ended. */
  giveUp(rerun: Rerun): void {
    this.leave(rerun);
    rerun.signal?.stop();
    const { transaction, outcome, settle } = rerun;
    // After the decision to abort, a branch may have reported that it committed.
    settle(transaction.hasHeuristics ? outcomeNow(transaction) : outcome);
  }

  /** The record of the last attempt outlives it, and must not keep it in memory. */
  private leave(rerun: Rerun): void {
    this.waiting.delete(rerun.transaction);
    rerun.transaction.needExtras().isRunAgain = false;
  }
}

/** @returns the branch that was refused because of a conflict, if that is the cause of the abort. */
function culpritOf({ cause, causeBranch, branches }: TransactionRecord): BranchRecord | undefined {
  if (cause !== Cause.REFUSED) return undefined;
  const culprit = branches[causeBranch];
  return culprit?.refusal?.conflict === true ? culprit : undefined;
}

/** Whether no participant works for it any more. */
function isQuiet({ open, awaiting, branches }: TransactionRecord): boolean {
  return (
    open === Branches.NONE &&
    branches.every(({ index, call }) => call === Call.NONE || !includes(awaiting, index))
  );
}
