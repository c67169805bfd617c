import type { Branch, CoordinatorRun } from '../coordinator/participant/participant.js';
import type { BranchCall } from '../remote/wire/index.js';

/**
 * The branch of one call, as its participant receives it. Its signal is made only when the participant asks
 * for it.
 */
export class ServedBranch implements Branch {
  readonly transactionId: string;
  readonly branchId: string;
  readonly payload: unknown;
  readonly deadline: number;
  readonly attempt: number;
  /** Only the branch of a caller that gave one has this field. */
  declare readonly requestId?: string;
  #controller: AbortController | undefined;
  #stopped: Error | undefined;

  constructor(
    { transactionId, branchId, payload, timeLeftMs, attempt, requestId }: BranchCall,
    readonly run: CoordinatorRun,
  ) {
    this.transactionId = transactionId;
    this.branchId = branchId;
    this.payload = payload;
    this.deadline = Date.now() + timeLeftMs;
    this.attempt = attempt;
    if (requestId !== undefined) this.requestId = requestId;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#stopped !== undefined) this.#controller.abort(this.#stopped);
    }
    return this.#controller.signal;
  }

  /** Aborts the signal, also one that is asked for later. A repeat does nothing. */
  stop(reason: Error): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = reason;
    this.#controller?.abort(reason);
  }
}
