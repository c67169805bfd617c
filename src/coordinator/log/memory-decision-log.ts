import type { DecisionLog } from './decision-log.js';

/**
 * The log of a coordinator whose decisions need not outlive it. The transactions themselves are its memory, so an
 * append has nothing to do and cannot fail.
 *
 * @publicApi
 */
export class MemoryDecisionLog implements DecisionLog {
  append(): void {}

  lookUp(): Promise<'recorded' | 'absent'> {
    return Promise.reject(new Error('An append to memory cannot fail, so there is nothing to look up.'));
  }
}
