import type { CallAnswer, CallMethod } from '../remote/wire/index.js';
import type { ServedBranch } from './served-branch.js';

/** The message of a call, which takes its answer. */
interface AnsweredMessage {
  end(call: CallAtWork, answer: CallAnswer): void;
  fail(error: unknown): void;
}

/** A call at work. */
export interface CallAtWork {
  /** The place of the call in its message. */
  readonly id: number;
  readonly method: CallMethod;
  /** On the clock of `performance`, as `dueAt`. */
  readonly startedAt: number;
  /** When the time of the call is over. */
  readonly dueAt: number;
  /** The branch on which its participant works, if it is the call of a branch. */
  branch: ServedBranch | undefined;
  readonly message: AnsweredMessage;
}

const TOO_LATE: CallAnswer = {
  kind: 'try-again',
  reason: 'the participant is still at work, and the time of the call is over',
};

/**
 * The calls that have no answer yet. A call whose time is over is answered with `try-again`. One timer serves
 * all of them, and it is set for the earliest: calls that are answered in time leave it alone.
 */
export class CallsAtWork {
  private readonly open = new Set<CallAtWork>();
  private timer: NodeJS.Timeout | undefined;
  private timerDueAt = Infinity;

  /** @param now on the clock of `performance`. */
  begin(call: CallAtWork, now: number): void {
    this.open.add(call);
    if (call.dueAt < this.timerDueAt) this.arm(call.dueAt, now);
  }

  /** The work of a call has ended. If its time was over before, this does nothing. */
  end(call: CallAtWork, answer: CallAnswer): void {
    if (this.open.delete(call)) call.message.end(call, answer);
  }

  /** A call has no answer. */
  fail(call: CallAtWork, error: unknown): void {
    if (this.open.delete(call)) call.message.fail(error);
  }

  private arm(dueAt: number, now: number): void {
    clearTimeout(this.timer);
    this.timerDueAt = dueAt;
    // The connections keep the process alive while a call has no answer.
    this.timer = setTimeout(() => this.endLate(), Math.max(1, Math.ceil(dueAt - now))).unref();
  }

  private endLate(): void {
    const now = performance.now();
    this.timerDueAt = Infinity;
    let nextDueAt = Infinity;
    for (const call of this.open) {
      if (call.dueAt > now) {
        nextDueAt = Math.min(nextDueAt, call.dueAt);
        continue;
      }
      call.branch?.stop(new DOMException('The time of the call is over', 'TimeoutError'));
      this.end(call, TOO_LATE);
    }
    if (nextDueAt < this.timerDueAt) this.arm(nextDueAt, now);
  }
}
