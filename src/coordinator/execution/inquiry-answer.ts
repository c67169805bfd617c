import type { KnownOutcome } from '../outcome.js';

/**
 * The answer to a participant in doubt: the decision, or to keep the branch and to ask again later.
 *
 * @publicApi
 */
export type Decision = 'commit' | 'abort' | 'wait';

/** The knowledge of a member when a participant asks for the decision about a transaction. */
export interface InquiryFacts {
  readonly status: KnownOutcome['status'];
  /**
   * Whether neither the memory of this member nor its log knows a transaction that this log has begun. In a
   * log of several members `status` says so instead.
   */
  readonly isForgotten: boolean;
  /** Whether its commit was found in the log at the start, though it is over by now. */
  readonly wasRecorded: boolean;
  /** Whether this member still has its claim on the log, and has read what earlier runs have left. */
  readonly mayPresume: boolean;
}

/**
 * Decides what a participant in doubt is told. `abort` needs a proof: this member has decided it, or the log
 * shows that its owner did not decide otherwise and never will. A transaction that is still voting, one of
 * another member that lives, and one that is not known here get `wait`.
 */
export function inquiryAnswer({ status, isForgotten, wasRecorded, mayPresume }: InquiryFacts): Decision {
  if (status === 'committed' || wasRecorded) return 'commit';
  if (status === 'aborted') return 'abort';
  return isForgotten && mayPresume ? 'abort' : 'wait';
}
