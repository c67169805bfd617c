import type { Kind } from './contenders.js';

const NOT_ATOMIC = 'not atomic together: a refusal or a crash leaves some of the three changed';
const ATOMIC = 'all three or none, through crashes: repeats, recovery and orphans are seen to';

/** What a contender guarantees. Read its figures together with this. */
export const GUARANTEES: Readonly<Record<Kind, string>> = {
  plain: NOT_ATOMIC,
  'plain-one-trip': NOT_ATOMIC,
  'by-hand': 'all three or none without failures: after a crash the decisions are unknown',
  'by-hand-with-record': 'the same, but the decision is on disk for a recovery that is not written',
  coordinator: ATOMIC,
  'coordinator-batch': ATOMIC,
  'coordinator-in-turn': ATOMIC,
  'coordinator-grouped': ATOMIC,
  dbos: 'every step in the end, at least once each; no rollback; others see what is between the steps',
};
