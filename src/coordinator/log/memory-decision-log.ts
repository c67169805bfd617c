import type { DecisionLog, LogClaim } from './decision-log.js';
import { newLogId, newRunToken } from './log-identity.js';

/** The only start of a log that ends with its process. */
const ONLY_EPOCH = 1;

/**
 * The log of a coordinator whose decisions need not outlive it. The transactions themselves are its memory,
 * so an append has nothing to do and cannot fail. It is a new log, with a new id, each time it is opened.
 *
 * @publicApi
 */
export class MemoryDecisionLog implements DecisionLog {
  private token: string | undefined;

  open(_coordinator?: string): LogClaim {
    const token = newRunToken();
    this.token = token;
    return {
      logId: newLogId(),
      epoch: ONLY_EPOCH,
      token,
      durable: false,
      decisions: [],
      reports: [],
      audits: [],
    };
  }

  isOwnRun(epoch: number, token: string): boolean {
    return epoch === ONLY_EPOCH && token === this.token;
  }

  append(): void {}

  lookUp(): Promise<'recorded' | 'absent'> {
    return Promise.reject(new Error('An append to memory cannot fail, so there is nothing to look up.'));
  }

  progress(): void {}

  end(): void {}

  report(): void {}

  forget(): void {}

  audit(): void {}

  check(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {}
}
