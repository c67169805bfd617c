import { AttemptAbandonedError, guardedController } from '../gate/guarded-signal.js';
import type { Branch, CoordinatorRun } from '../participant/participant.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { type Clock, NEVER, epochMsOf } from './clock.js';

/** What is delivered: the decision, or the question that makes the only branch decide. */
export type DeliveryKind = 'commit' | 'rollback' | 'one-phase';

const METHOD_OF = { commit: 'commit', rollback: 'rollback', 'one-phase': 'commitOnePhase' } as const;

/** The method of a participant that a delivery calls. */
export type DeliveryMethod = (typeof METHOD_OF)[DeliveryKind];

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
    readonly kind: DeliveryKind,
    /** The round of the protocol that this delivery's acknowledgements belong to. */
    readonly round: number,
  ) {}

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
   * The coordinator waits no longer for the attempt in flight, if there is one.
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

/** @returns the method that brings this about. */
export function methodOf(kind: DeliveryKind): DeliveryMethod {
  return METHOD_OF[kind];
}

/** @returns how long one attempt may take, in milliseconds. */
export function timeoutOf(kind: DeliveryKind, { options }: RegisteredParticipant): number {
  return kind === 'one-phase' ? options.prepareTimeoutMs : options.completionTimeoutMs;
}

/** One call of commit, rollback or one-phase commit after the first, and what its participant is given. */
export class CompletionAttempt implements Branch {
  readonly transactionId: string;
  readonly branchId: string;
  readonly payload: unknown;
  readonly run: CoordinatorRun;
  private controller: AbortController | undefined = undefined;
  private abandoned = false;

  constructor(
    { transactionId, branchId, payload, run }: Branch,
    readonly attempt: number,
    private readonly clock: Clock,
    /** On the clock. */
    private readonly dueAt: number,
    /** Hears what a listener of the signal throws. */
    private readonly listenerFailed: (error: unknown) => void,
  ) {
    this.transactionId = transactionId;
    this.branchId = branchId;
    this.payload = payload;
    this.run = run;
  }

  get deadline(): number {
    return epochMsOf(this.clock, this.dueAt);
  }

  get signal(): AbortSignal {
    this.controller ??= guardedController(this.listenerFailed);
    if (this.abandoned) this.controller.abort(new AttemptAbandonedError());
    return this.controller.signal;
  }

  abandon(): void {
    this.abandoned = true;
    this.controller?.abort(new AttemptAbandonedError());
  }
}
