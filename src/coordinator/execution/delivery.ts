import { AttemptAbandonedError, guardedController } from '../gate/guarded-signal.js';
import type { Branch, CoordinatorRun } from '../participant/participant.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { type Clock, NEVER, epochMsOf } from './clock.js';

/** The kind of a delivery: the decision, or the one-phase commit that makes the only branch decide. */
export type DeliveryKind = 'commit' | 'rollback' | 'one-phase';

const METHOD_OF = { commit: 'commit', rollback: 'rollback', 'one-phase': 'commitOnePhase' } as const;

/** The method of a participant that a delivery calls. */
export type DeliveryMethod = (typeof METHOD_OF)[DeliveryKind];

/**
 * Delivers the decision to one branch, attempt after attempt, independently of every other branch. Made when
 * a branch must be rolled back, or when the first attempt to commit it has failed.
 */
export class Delivery {
  /** Failed attempts of this delivery. The first attempt to commit counts. */
  failures = 0;
  /** The running attempt, or undefined while the delivery waits. */
  attempt: CompletionAttempt | undefined = undefined;
  /** When the running attempt is given up, or when the next one starts. */
  dueAt = NEVER;
  lastError: string | undefined = undefined;
  /** The code of that error, if it had one. */
  lastCode: string | undefined = undefined;
  /** Whether the last attempt that failed was not answered in time. */
  isLate = false;
  /** Called when the running attempt has ended, with any result. */
  onAttemptOver: (() => void) | undefined = undefined;

  constructor(
    readonly kind: DeliveryKind,
    /** The round of the protocol that this delivery's acknowledgements belong to. */
    readonly round: number,
  ) {}

  /**
   * An attempt has been answered.
   *
   * @returns whether it was the running one, and not one that was given up before.
   */
  isOver(attempt: CompletionAttempt): boolean {
    if (this.attempt !== attempt) return false;
    this.attempt = undefined;
    return true;
  }

  /**
   * The coordinator no longer waits for the running attempt, if there is one.
   *
   * @param dueAt when the next attempt starts, or never.
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

/** @returns the method that delivers this. */
export function methodOf(kind: DeliveryKind): DeliveryMethod {
  return METHOD_OF[kind];
}

/** @returns the time limit of one attempt, in milliseconds. */
export function timeoutOf(kind: DeliveryKind, { options }: RegisteredParticipant): number {
  return kind === 'one-phase' ? options.prepareTimeoutMs : options.completionTimeoutMs;
}

/**
 * One call of commit, rollback or one-phase commit after the first, with the branch that its participant
 * receives.
 */
export class CompletionAttempt implements Branch {
  readonly transactionId: string;
  readonly branchId: string;
  readonly payload: unknown;
  readonly run: CoordinatorRun;
  readonly requestId: string | undefined;
  private controller: AbortController | undefined = undefined;
  private abandoned = false;

  constructor(
    { transactionId, branchId, payload, run, requestId }: Branch,
    readonly attempt: number,
    private readonly clock: Clock,
    /** On the clock. */
    private readonly dueAt: number,
    /** Receives the errors of listeners of the signal. */
    private readonly listenerFailed: (error: unknown) => void,
  ) {
    this.transactionId = transactionId;
    this.branchId = branchId;
    this.payload = payload;
    this.run = run;
    this.requestId = requestId;
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
