/** Later than any moment. */
const NEVER = Number.POSITIVE_INFINITY;

/** How a participant has answered its prepares. */
interface AnswerCounts {
  readonly commitVotes: number;
  readonly readOnlyVotes: number;
  readonly refusals: number;
  readonly failures: number;
  readonly lateAnswers: number;
}

/** A participant that has not answered this number of prepares in time, one after the other, is silent. */
const MISSED = 3;
/**
 * The number of transactions that ask a silent participant in the time that it has for one prepare. One that
 * has answered nothing for as long as the time between two of them is doubtful.
 */
const TRIALS = 8;
/**
 * A time-out that is noticed later than this part of its time says nothing of the participant: the
 * coordinator stood still, and the answer may be there already.
 */
const NOTICED_WITHIN = 1 / 4;

/**
 * Whether a participant has stopped answering. Each transaction that names it then waits for its whole time
 * to prepare. So only a few of them ask it, until it answers again.
 *
 * Long before that is sure, the participant is doubtful: it owes answers and gives none. Transactions then ask
 * it before the others, so that they hold no room and no rows there while they wait for it.
 */
export class Silence {
  private missed = 0;
  /** The number of its answers when it last missed a prepare. */
  private answers = 0;
  private missedAt = 0;
  private triedAt = Number.NEGATIVE_INFINITY;
  private sinceAt = 0;
  /** How many prepares it was asked for. */
  asks = 0;
  /** The number of its answers, late ones included, that the last look has found, and of the asks then. */
  private heard = 0;
  private asksThen = 0;
  /** When a look first found a prepare without any answer after it. */
  private owesSince = NEVER;
  /** Whether transactions ask it before the others. */
  isDoubtful = false;

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

  /**
   * Finds out whether it is doubtful. To be called often.
   *
   * @param prepareTimeoutMs of the participant.
   */
  look(now: number, prepareTimeoutMs: number): void {
    const heard = answersIn(this.counts) + this.counts.lateAnswers;
    if (heard !== this.heard) this.hear(heard);
    else if (this.owesSince === NEVER && this.asks > this.asksThen) this.owesSince = now;
    this.isDoubtful =
      now - this.owesSince >= prepareTimeoutMs / TRIALS || this.since(now, prepareTimeoutMs) !== undefined;
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
    this.hear(this.heard);
    this.isDoubtful = false;
  }

  private hear(heard: number): void {
    this.heard = heard;
    this.asksThen = this.asks;
    this.owesSince = NEVER;
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
