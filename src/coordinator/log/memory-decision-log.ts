import type { DecisionLog, LogClaim } from './decision-log.js';

/** Two random bits keep the claims of one microsecond apart, and the number within what a double holds exactly. */
const CLAIMS_PER_MICROSECOND = 4;

/**
 * The log of a coordinator whose decisions need not outlive it. The transactions themselves are its memory, so an
 * append has nothing to do and cannot fail.
 *
 * @publicApi
 */
export class MemoryDecisionLog implements DecisionLog {
  /** The epoch is the moment of the claim: nothing else is known of those before. */
  open(_coordinator?: string): LogClaim {
    const microseconds = Math.floor((performance.timeOrigin + performance.now()) * 1000);
    const epoch = microseconds * CLAIMS_PER_MICROSECOND + Math.floor(Math.random() * CLAIMS_PER_MICROSECOND);
    return { epoch, durable: false, decisions: [], reports: [] };
  }

  append(): void {}

  lookUp(): Promise<'recorded' | 'absent'> {
    return Promise.reject(new Error('An append to memory cannot fail, so there is nothing to look up.'));
  }

  end(): void {}

  report(): void {}

  forget(): void {}

  check(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {}
}
