import type { Branch, CoordinatorRun } from '../participant/participant.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { type HeuristicKind, includes } from '../protocol/index.js';
import { guardedController } from '../gate/guarded-signal.js';
import { AttemptAbandonedError } from './abandoned.js';
import { listenerFailed } from './branch-events.js';
import { epochMsOf } from './clock.js';
import type { Delivery } from './delivery.js';
import { NOT_YET } from './moments.js';
import type { TransactionRecord } from './transaction-record.js';

/** No call was made yet. */
export const CALL_NONE = 0;
export const CALL_PREPARE = 1;
export const CALL_ONE_PHASE = 2;
/** The first attempt to commit. Further ones, and every rollback, are a {@link Delivery}'s. */
export const CALL_COMMIT = 3;

/** How an abort came about at one branch. */
export interface Refusal {
  readonly code: string | undefined;
  readonly reason: string;
  /** What was thrown, until the caller has been told. */
  error: unknown;
  /** Whether it met another transaction, and nothing else is wrong. */
  readonly conflict?: boolean;
}

/** A participant's report that the branch ended otherwise than it was told. */
export interface BranchHeuristic {
  readonly kind: HeuristicKind;
  readonly reason: string;
}

/**
 * One branch as the driver holds it, and at the same time what its participant sees, through a GivenBranch: in prepare,
 * and in the first attempt to commit, which cannot overlap. A transaction in which nothing goes wrong thus keeps
 * one object and two callbacks for each branch, and no timer.
 */
export class BranchRecord implements Branch {
  /** The branch that was enlisted after this one. */
  next: BranchRecord | undefined = undefined;
  call = CALL_NONE;
  /** Completion attempts so far. */
  attempts = 0;
  /** Microseconds from the begin of the transaction to the answer. */
  votedUs = NOT_YET;
  completedUs = NOT_YET;
  private extras: BranchExtras | undefined = undefined;

  readonly fulfilled = (value: unknown): void => this.transaction.driver.answered(this, value);
  readonly rejected = (error: unknown): void => this.transaction.driver.failed(this, error);

  constructor(
    readonly transaction: TransactionRecord,
    readonly index: number,
    readonly participant: RegisteredParticipant,
    public payload: unknown,
    /** The id the caller chose, or made for a participant's second branch. */
    private readonly givenId: string | undefined,
  ) {}

  get transactionId(): string {
    return this.transaction.id;
  }

  get branchId(): string {
    return this.givenId ?? this.participant.name;
  }

  get deadline(): number {
    const { transaction } = this;
    return epochMsOf(transaction.driver.clock, callDueAt(this));
  }

  /** Made only when somebody asks for it; one serves all prepares of a transaction. */
  get signal(): AbortSignal {
    if (this.call !== CALL_COMMIT && this.call !== CALL_ONE_PHASE) return this.transaction.prepareSignal();
    const extras = this.needExtras();
    extras.completionController ??= guardedController((error) =>
      listenerFailed(`"${this.participant.name}"`, error),
    );
    if (extras.delivery !== undefined) extras.completionController.abort(new AttemptAbandonedError());
    return extras.completionController.signal;
  }

  /** The first attempt to complete was given up: whoever works on it may stop. */
  abandonFirstAttempt(): void {
    this.extras?.completionController?.abort(new AttemptAbandonedError());
  }

  /** Nobody works for the branch any more: the listeners of its signal are not held on to. */
  dropSignal(): void {
    if (this.extras !== undefined) this.extras.completionController = undefined;
  }

  get delivery(): Delivery | undefined {
    return this.extras?.delivery;
  }

  set delivery(delivery: Delivery) {
    this.needExtras().delivery = delivery;
  }

  get refusal(): Refusal | undefined {
    return this.extras?.refusal;
  }

  set refusal(refusal: Refusal) {
    this.needExtras().refusal = refusal;
  }

  get heuristic(): BranchHeuristic | undefined {
    return this.extras?.heuristic;
  }

  set heuristic(heuristic: BranchHeuristic) {
    this.needExtras().heuristic = heuristic;
  }

  get attempt(): number {
    return this.attempts;
  }

  get run(): CoordinatorRun {
    return this.transaction.driver.run;
  }

  toJSON(): object {
    const { transactionId, branchId, payload, deadline, attempt } = this;
    return { transactionId, branchId, payload, deadline, attempt };
  }

  private needExtras(): BranchExtras {
    this.extras ??= new BranchExtras();
    return this.extras;
  }
}

/** What a branch needs only when something goes wrong, or when its participant asks for the signal. */
class BranchExtras {
  delivery: Delivery | undefined = undefined;
  refusal: Refusal | undefined = undefined;
  heuristic: BranchHeuristic | undefined = undefined;
  completionController: AbortController | undefined = undefined;
}

/** @returns another branch of the transaction that is prepared at the same participant, if there is one. */
export function preparedSibling({ transaction, participant, index }: BranchRecord): BranchRecord | undefined {
  return transaction.branches.find(
    (other) =>
      other.participant === participant && other.index !== index && includes(transaction.yes, other.index),
  );
}

/** @returns when its participant was asked to prepare, on the coordinator's clock. */
export function calledToPrepareAt(branch: BranchRecord): number {
  const { transaction } = branch;
  return transaction.extras?.turns?.askedAt(branch) ?? transaction.preparingAt;
}

/** @returns when the call in flight is due, on the coordinator's clock. Only the first call of each kind is here. */
export function callDueAt(branch: BranchRecord): number {
  const { transaction, participant } = branch;
  if (branch.call === CALL_COMMIT) return transaction.decidedAt + participant.options.completionTimeoutMs;
  const prepareDueAt = calledToPrepareAt(branch) + participant.options.prepareTimeoutMs;
  return branch.call === CALL_ONE_PHASE ? prepareDueAt : Math.min(prepareDueAt, transaction.deadlineAt);
}
