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
 * owes answers for as long as the time between two of them is doubtful.
 */
const TRIALS = 8;
/** If it usually takes longer, it is doubtful after this many times as long. */
const LONGER_THAN_USUAL = 2;
/** Of the longest recent time without an answer, what counts at the next answer. */
const KEPT = 0.9;
/**
 * A time-out that is noticed later than this part of its time says nothing of the participant: the
 * coordinator stood still, and the answer may be there already.
 */
const NOTICED_WITHIN = 1 / 4;

/**
 * Whether a participant has stopped answering. Each transaction that names it then waits for its whole time
 * to prepare, and holds room and rows at the other participants. So only a few of them ask it, until it
 * answers again.
 *
 * Long before that is sure, the participant is doubtful: it owes answers, and has given none for longer than it
 * usually takes.
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
  private asksHeard = 0;
  private asksSeen = 0;
  private newestAskAt = 0;
  /** For how long it owes answers and has given none, in milliseconds; undefined if it owes none. */
  private owedMs: number | undefined = undefined;
  /** The longest that it lately was for, before it answered. */
  private usualMs = 0;
  /** Whether it is asked before the other participants. */
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
   * @param sinceLastMs the time since the last call. The coordinator may have stood still meanwhile, with answers
   * waiting, so one call alone makes no participant doubtful.
   * @param prepareTimeoutMs of the participant.
   */
  look(now: number, sinceLastMs: number, prepareTimeoutMs: number): void {
    const shortMs = betweenTrialsMs(prepareTimeoutMs);
    if (this.asksSeen !== this.asks) {
      this.asksSeen = this.asks;
      this.newestAskAt = now;
    }
    const heard = answersIn(this.counts) + this.counts.lateAnswers;
    if (heard !== this.heard) {
      this.heard = heard;
      // What took longer than the time to prepare helped no transaction.
      const tookMs = (this.owedMs ?? 0) < prepareTimeoutMs ? (this.owedMs ?? 0) : 0;
      this.usualMs = Math.max(tookMs, this.usualMs * KEPT);
      this.owesNothing();
    } else if (now - this.newestAskAt >= prepareTimeoutMs) this.owesNothing();
    else if (this.owedMs !== undefined) this.owedMs += Math.min(sinceLastMs, shortMs / 2);
    else if (this.asks > this.asksHeard) this.owedMs = 0;
    this.isDoubtful =
      (this.owedMs ?? 0) >= Math.max(shortMs, this.usualMs * LONGER_THAN_USUAL) ||
      this.since(now, prepareTimeoutMs) !== undefined;
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
    return Math.max(0, this.triedAt + betweenTrialsMs(prepareTimeoutMs) - now);
  }

  /** A transaction may ask it to prepare, or asks it. */
  asked(now: number): void {
    this.triedAt = now;
  }

  /** It has answered something else in time, or is another one from now on. */
  end(): void {
    this.missed = 0;
    this.owesNothing();
    this.isDoubtful = false;
  }

  private owesNothing(): void {
    this.owedMs = undefined;
    this.asksHeard = this.asks;
  }

  private isOver(now: number, prepareTimeoutMs: number): boolean {
    return now - this.missedAt >= 2 * prepareTimeoutMs || answersIn(this.counts) !== this.answers;
  }
}

/** @returns the time between two transactions that ask a silent participant, in milliseconds. */
export function betweenTrialsMs(prepareTimeoutMs: number): number {
  return prepareTimeoutMs / TRIALS;
}

/**
 * The votes, refusals and errors that came in time. Of its acknowledgements nothing follows for the next
 * prepare.
 */
function answersIn({ commitVotes, readOnlyVotes, refusals, failures }: AnswerCounts): number {
  return commitVotes + readOnlyVotes + refusals + failures;
}
