import type { Branch, CoordinatorRun } from '../participant/participant.js';

/**
 * A branch whose work can be stopped besides: its signal is also aborted by {@link StoppableBranch.stop}. The signal is
 * made only when the participant asks for it.
 */
export class StoppableBranch implements Branch {
  readonly #branch: Branch;
  #stop: AbortController | undefined;
  #signal: AbortSignal | undefined;
  #reason: Error | undefined;

  constructor(branch: Branch) {
    this.#branch = branch;
  }

  get transactionId(): string {
    return this.#branch.transactionId;
  }

  get branchId(): string {
    return this.#branch.branchId;
  }

  get payload(): unknown {
    return this.#branch.payload;
  }

  get deadline(): number {
    return this.#branch.deadline;
  }

  get attempt(): number {
    return this.#branch.attempt;
  }

  get run(): CoordinatorRun {
    return this.#branch.run;
  }

  get signal(): AbortSignal {
    if (this.#signal === undefined) {
      this.#stop = new AbortController();
      if (this.#reason !== undefined) this.#stop.abort(this.#reason);
      this.#signal = AbortSignal.any([this.#branch.signal, this.#stop.signal]);
    }
    return this.#signal;
  }

  stop(reason: Error): void {
    this.#reason ??= reason;
    this.#stop?.abort(this.#reason);
  }
}
