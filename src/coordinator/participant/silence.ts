/** What a participant has answered to its prepares in time. */
interface AnswerCounts {
  readonly commitVotes: number;
  readonly readOnlyVotes: number;
  readonly refusals: number;
  readonly failures: number;
}

/** A participant that has answered none of so many prepares in time, one after the other, is silent. */
const MISSED = 3;
/** While it is silent, so many transactions are admitted in the time that it has for a prepare. */
const TRIALS = 8;

/**
 * Whether a participant has stopped answering. Each transaction that names it then waits for its whole time to prepare, and
 * holds room and rows at the other participants. So only a few of them are admitted, until it answers again.
 */
export class Silence {
  private missed = 0;
  /** The number of its answers when it last missed a prepare. */
  private answers = 0;
  private missedAt = 0;
  private triedAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly counts: AnswerCounts) {}

  /** A prepare was not answered in time. An answer that comes later does not count: it helps no transaction. */
  miss(now: number): void {
    const answers = answersIn(this.counts);
    this.missed = answers === this.answers ? this.missed + 1 : 1;
    this.answers = answers;
    this.missedAt = now;
  }

  /** Whether it is worth asking {@link waitMs}. */
  get isLikely(): boolean {
    return this.missed >= MISSED;
  }

  /**
   * @param prepareTimeoutMs of the participant. If no prepare was missed for twice that long, nothing is known of it.
   * @returns how long until a transaction may name the participant, in milliseconds: 0 if it may now.
   */
  waitMs(now: number, prepareTimeoutMs: number): number {
    if (this.missed < MISSED) return 0;
    if (now - this.missedAt >= 2 * prepareTimeoutMs || answersIn(this.counts) !== this.answers) {
      this.missed = 0;
      return 0;
    }
    return Math.max(0, this.triedAt + prepareTimeoutMs / TRIALS - now);
  }

  /** A transaction that names the participant is admitted. */
  admitted(now: number): void {
    if (this.missed >= MISSED) this.triedAt = now;
  }
}

/** The votes, refusals and errors that came in time. Of its acknowledgements nothing follows for the next prepare. */
function answersIn({ commitVotes, readOnlyVotes, refusals, failures }: AnswerCounts): number {
  return commitVotes + readOnlyVotes + refusals + failures;
}
