import type { Contender } from '../framework/contender.js';

/** After this time without a commit the contender is not slow but stuck. */
const STANDSTILL_MS = 30_000;

/** Transactions over the same rows have stopped each other permanently. */
export class StandstillError extends Error {
  constructor(contender: string) {
    super(`${contender} has committed nothing for ${STANDSTILL_MS / 1000} seconds`);
    this.name = 'StandstillError';
  }
}

/**
 * For transactions that want the same rows: an aborted one is tried again until it is committed, as its
 * caller would do. It counts the attempts.
 */
export function untilCommitted(contender: Contender): Contender {
  const watch = new CommitWatch();
  return {
    ...contender,
    run: async () => {
      watch.begun();
      try {
        for (;;) {
          const outcome = await contender.run();
          if (outcome.status === 'committed') watch.committed();
          if (outcome.status !== 'aborted') return outcome;
          watch.aborted++;
          if (watch.pauseMs > STANDSTILL_MS) throw new StandstillError(contender.name);
        }
      } finally {
        watch.over();
      }
    },
    takeTroubles: () => watch.take(),
  };
}

class CommitWatch {
  aborted = 0;
  private longestPauseMs = 0;
  private running = 0;
  private committedAt = performance.now();

  /** While no worker runs there can be no commit, and this does not count as a pause. */
  begun(): void {
    if (this.running++ === 0) this.committedAt = performance.now();
  }

  over(): void {
    this.running--;
  }

  get pauseMs(): number {
    return performance.now() - this.committedAt;
  }

  committed(): void {
    this.longestPauseMs = Math.max(this.longestPauseMs, this.pauseMs);
    this.committedAt = performance.now();
  }

  take(): { aborted: number; longestPauseMs: number } {
    const { aborted, longestPauseMs } = this;
    this.aborted = 0;
    this.longestPauseMs = 0;
    this.committedAt = performance.now();
    return { aborted, longestPauseMs };
  }
}
