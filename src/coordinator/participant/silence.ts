/** How a participant has answered its prepares. */
interface AnswerCounts {
  readonly commitVotes: number;
  readonly readOnlyVotes: number;
  readonly refusals: number;
  readonly failures: number;
}

/** A participant that has not answered this number of prepares in time, one after the other, is silent. */
const MISSED = 3;
/** The number of transactions that ask a silent participant in the time that it has for one prepare. */
const TRIALS = 8;
/**
 * A time-out that is noticed later than this part of its time says nothing of the participant: the
 * coordinator stood still, and the answer may be there already.
 */
const NOTICED_WITHIN = 1 / 4;

/**
 * Whether a participant has stopped answering. Each transaction that names it then waits for its whole time
 * to prepare, and holds room and rows at the other participants. So only a few of them ask it, until it
 * answers again.
 */
export class Silence {
  private missed = 0;
  /** The number of its answers when it last missed a prepare. */
  private answers = 0;
  private missedAt = 0;
  private triedAt = Number.NEGATIVE_INFINITY;
  private sinceAt = 0;

  constructor(private readonly counts: AnswerCounts) {}

  /**
   * A prepare was not answered in its time, or its transaction was over before. An answer that comes later
   * does not count: it helps no transaction.
   *
   * @param askedAt when the participant was asked. @param prepareTimeoutMs how long it had.
   */
  miss(now: number, askedAt: number, prepareTimeoutMs: number): void {
    const lateMs = now - (askedAt + prepareTimeoutMs);
    if (lateMs < 0 || lateMs > prepareTimeoutMs * NOTICED_WITHIN) return;
    const answers = answersIn(this.counts);
    this.missed = answers === this.answers ? this.missed + 1 : 1;
    this.answers = answers;
    this.missedAt = now;
    if (this.missed === MISSED) this.sinceAt = now;
  }

  /**
   * @returns since when it is silent, on the clock; undefined if it is not, or nothing is known of it any
   * more.
   */
  since(now: number, prepareTimeoutMs: number): number | undefined {
    return this.missed >= MISSED && !this.isOver(now, prepareTimeoutMs) ? this.sinceAt : undefined;
  }

  /** Whether it is worth asking {@link waitMs}. */
  get isLikely(): boolean {
    return this.missed >= MISSED;
  }

  /**
   * @param prepareTimeoutMs of the participant. If no prepare was missed for twice that long, nothing is
   * known of it.
   * @returns how long until a transaction may ask the participant, in milliseconds: 0 if it may now.
   */
  waitMs(now: number, prepareTimeoutMs: number): number {
    if (this.missed < MISSED) return 0;
    if (this.isOver(now, prepareTimeoutMs)) {
      this.missed = 0;
      return 0;
    }
    return Math.max(0, this.triedAt + prepareTimeoutMs / TRIALS - now);
  }

  /** It is asked to prepare. */
  asked(now: number): void {
    this.triedAt = now;
  }

  /** It has answered something else in time, or is another one from now on. */
  end(): void {
    this.missed = 0;
  }

  private isOver(now: number, prepareTimeoutMs: number): boolean {
    return now - this.missedAt >= 2 * prepareTimeoutMs || answersIn(this.counts) !== this.answers;
  }
}

/**
 * The votes, refusals and errors that came in time. Of its acknowledgements nothing follows for the next
 * prepare.
 */
function answersIn({ commitVotes, readOnlyVotes, refusals, failures }: AnswerCounts): number {
  return commitVotes + readOnlyVotes + refusals + failures;
}
