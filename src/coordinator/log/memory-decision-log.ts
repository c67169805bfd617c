import type { DecisionLog, LogClaim } from './decision-log.js';
import { firstEpoch } from './first-epoch.js';

/**
 * The log of a coordinator whose decisions need not outlive it. The transactions themselves are its memory, so an
 * append has nothing to do and cannot fail.
 *
 * @publicApi
 */
export class MemoryDecisionLog implements DecisionLog {
  open(_coordinator?: string): LogClaim {
    return { epoch: firstEpoch(), durable: false, decisions: [], reports: [], audits: [] };
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
