import type { Outcome } from '../outcome.js';
import { ProtocolTransaction, STATES, type TransactionState, isAbort } from '../protocol/index.js';
import { TransactionAbortedError } from './abandoned.js';
import type { BranchRecord } from './branch-record.js';
import type { Clock } from './clock.js';
import type { Incident } from './incident.js';

/** What a transaction and its branches need of the executor that drives them. */
export interface TransactionDriver {
  readonly clock: Clock;
  /** A call made with a branch's own callbacks came back. */
  answered(branch: BranchRecord, value: unknown): void;
  failed(branch: BranchRecord, error: unknown): void;
  /** The caller's signal was aborted. */
  cancelled(transaction: TransactionRecord): void;
}

const MAX_INCIDENTS = 40;

/** One transaction as the driver holds it: the state of the protocol, and what it takes to reach the participants. */
export class TransactionRecord extends ProtocolTransaction {
  readonly branches: BranchRecord[] = [];
  /** Moments on the coordinator's clock, in milliseconds; 0 while they have not come. */
  preparingAt = 0;
  decidedAt = 0;
  endedAt = 0;
  /** Not later than the earliest moment at which something is due. */
  dueAt: number;
  /** When the decision must be made. */
  readonly deadlineAt: number;
  /** Resolves the caller's promise; gone once it is told. */
  settle: ((outcome: Outcome) => void) | undefined = undefined;
  callerSignal: AbortSignal | undefined = undefined;
  /** The handle that callers hold, made when one is needed. */
  handle: unknown = undefined;
  /** When the log is asked again for a record that may be there; 0 when it need not be. */
  inquiryAt = 0;
  inquiries = 0;
  rollbackReason: string | undefined = undefined;
  /** What went otherwise than it should, for the timeline. */
  incidents: Incident[] | undefined = undefined;
  private prepareController: AbortController | undefined = undefined;

  constructor(
    readonly driver: TransactionDriver,
    readonly sequence: number,
    readonly id: string,
    readonly name: string,
    readonly startedAt: number,
    timeoutMs: number,
  ) {
    super();
    this.deadlineAt = startedAt + timeoutMs;
    this.dueAt = this.deadlineAt;
  }

  get stateName(): TransactionState {
    return STATES[this.state]!;
  }

  get isStalled(): boolean {
    return this.stalled !== 0;
  }

  get hasHeuristics(): boolean {
    return (this.against | this.mixed | this.hazard) !== 0;
  }

  /** Whether somebody or something still has to see to it. */
  get isSettled(): boolean {
    return this.endedAt !== 0 && this.open === 0 && !this.hasHeuristics;
  }

  /** @returns microseconds since the begin, as a small number, at least 1. */
  elapsedUs(now: number): number {
    return Math.min(0x3fffffff, Math.max(1, (now - this.startedAt) * 1000)) | 0;
  }

  /** The signal of every prepare of this transaction. */
  prepareSignal(): AbortSignal {
    this.prepareController ??= new AbortController();
    if (isAbort(this.state)) this.abortPrepares();
    return this.prepareController.signal;
  }

  abortPrepares(): void {
    if (this.prepareController === undefined || this.prepareController.signal.aborted) return;
    this.prepareController.abort(new TransactionAbortedError(this.id));
  }

  /** Keeps the first and the latest incidents, so that a branch that fails for days does not fill the memory. */
  note(incident: Incident): void {
    this.incidents ??= [];
    if (this.incidents.length >= MAX_INCIDENTS) this.incidents.splice(MAX_INCIDENTS / 2, 1);
    this.incidents.push(incident);
  }

  listenTo(signal: AbortSignal): void {
    this.callerSignal = signal;
    signal.addEventListener('abort', this.onCallerAbort, { once: true });
  }

  stopListening(): void {
    this.callerSignal?.removeEventListener('abort', this.onCallerAbort);
    this.callerSignal = undefined;
  }

  /** The caller's listener is made only for the transactions that have a signal. */
  private get onCallerAbort(): () => void {
    this.callerListener ??= () => this.driver.cancelled(this);
    return this.callerListener;
  }

  private callerListener: (() => void) | undefined = undefined;
}
