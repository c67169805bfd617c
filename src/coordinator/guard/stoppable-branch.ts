import { GivenBranch } from '../participant/given-branch.js';

/**
 * A branch whose work can be stopped besides: its signal is also aborted by {@link StoppableBranch.stop}. The
 * signal is made only when the participant asks for it.
 */
export class StoppableBranch extends GivenBranch {
  #stop: AbortController | undefined;
  #signal: AbortSignal | undefined;
  #reason: Error | undefined;

  override get signal(): AbortSignal {
    if (this.#signal === undefined) {
      this.#stop = new AbortController();
      if (this.#reason !== undefined) this.#stop.abort(this.#reason);
      // A copy made by spreading has none.
      const given = super.signal as AbortSignal | undefined;
      this.#signal = given === undefined ? this.#stop.signal : AbortSignal.any([given, this.#stop.signal]);
    }
    return this.#signal;
  }

  stop(reason: Error): void {
    this.#reason ??= reason;
    this.#stop?.abort(this.#reason);
  }
}
