import type { Branch, CoordinatorRun } from '../participant/participant.js';
import { guardedController } from '../gate/guarded-signal.js';
import { AttemptAbandonedError } from './abandoned.js';
import { listenerFailed } from './branch-events.js';
import type { BranchRecord } from './branch-record.js';
import { type Clock, epochMsOf } from './clock.js';
import { NEVER } from './moments.js';

/** What is delivered: the decision, or the question that makes the only branch decide. */
export type DeliveryKind = 'commit' | 'rollback' | 'one-phase';

const METHOD_OF = { commit: 'commit', rollback: 'rollback', 'one-phase': 'commitOnePhase' } as const;

/**
 * Bringing the decision to one branch, attempt after attempt, independent of every other branch. Made when a branch
 * must be rolled back, or when the first attempt to commit it has failed.
 */
export class Delivery {
  /** Failed attempts of this delivery; the first attempt to commit counts. */
  failures = 0;
  /** The attempt in flight, or undefined while the delivery waits. */
  attempt: CompletionAttempt | undefined = undefined;
  /** When the attempt in flight is given up, or when the next one starts. */
  dueAt = NEVER;
  lastError: string | undefined = undefined;
  /** Told when the attempt in flight is over, however it ends. */
  onAttemptOver: (() => void) | undefined = undefined;

  constructor(
    readonly branch: BranchRecord,
    readonly kind: DeliveryKind,
    /** The round of the protocol that this delivery's acknowledgements belong to. */
    readonly round: number,
  ) {}

  get method(): (typeof METHOD_OF)[DeliveryKind] {
    return METHOD_OF[this.kind];
  }

  /** How long one attempt may take. */
  get timeoutMs(): number {
    const { options } = this.branch.participant;
    return this.kind === 'one-phase' ? options.prepareTimeoutMs : options.completionTimeoutMs;
  }

  /** What is said of an attempt that takes longer. */
  get lateMessage(): string {
    return `did not answer ${this.method} within ${this.timeoutMs} ms`;
  }

  /**
   * An attempt has been answered.
   *
   * @returns whether it was the one in flight, and not one that was given up before.
   */
  isOver(attempt: CompletionAttempt): boolean {
    if (this.attempt !== attempt) return false;
    this.attempt = undefined;
    return true;
  }

  /**
   * Nobody waits for the attempt in flight any more, if there is one.
   *
   * @param dueAt when the next one starts, or never.
   */
  rest(dueAt: number): void {
    this.attempt?.abandon();
    this.attempt = undefined;
    this.dueAt = dueAt;
    const notify = this.onAttemptOver;
    this.onAttemptOver = undefined;
    notify?.();
  }
}

/** One call of commit, rollback or one-phase commit, and what its participant is given. */
export class CompletionAttempt implements Branch {
  readonly transactionId: string;
  readonly branchId: string;
  readonly payload: unknown;
  readonly run: CoordinatorRun;
  private readonly participant: string;
  private controller: AbortController | undefined = undefined;
  private abandoned = false;

  constructor(
    branch: BranchRecord,
    readonly attempt: number,
    private readonly clock: Clock,
    /** On the clock. */
    private readonly dueAt: number,
  ) {
    this.participant = branch.participant.name;
    this.transactionId = branch.transactionId;
    this.branchId = branch.branchId;
    this.payload = branch.payload;
    this.run = branch.run;
  }

  get deadline(): number {
    return epochMsOf(this.clock, this.dueAt);
  }

  get signal(): AbortSignal {
    this.controller ??= guardedController((error) => listenerFailed(`"${this.participant}"`, error));
    if (this.abandoned) this.controller.abort(new AttemptAbandonedError());
    return this.controller.signal;
  }

  abandon(): void {
    this.abandoned = true;
    this.controller?.abort(new AttemptAbandonedError());
  }
}
