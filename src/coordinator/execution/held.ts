import { includes, owes } from '../protocol/index.js';
import type { BranchRecord } from './branch-record.js';
import type { Clock } from './clock.js';
import type { Deadlines } from './deadlines.js';
import { NEVER } from './moments.js';

/** The code of the refusal that stands in for a paused participant's vote: it was not called, so it holds nothing. */
export const REFUSED_WHILE_PAUSED = {
  vote: 'abort',
  code: 'PARTICIPANT_PAUSED',
  reason: 'an operator has paused the participant',
} as const;

/** @returns whether the branch owes an answer, and its completion waits because its participant is paused. */
export function isHeld({ transaction, index, participant, delivery }: BranchRecord): boolean {
  if (participant.paused === undefined || delivery === undefined || delivery.attempt !== undefined)
    return false;
  return owes(transaction, index);
}

/**
 * The participant is about to be resumed: what was held goes on, not all at one moment. What has stalled waits for the
 * recovery job, as ever.
 *
 * @param random from 0 (included) to 1 (excluded).
 */
export function release(branch: BranchRecord, clock: Clock, deadlines: Deadlines, random: number): void {
  const { delivery, transaction, index, participant } = branch;
  if (!isHeld(branch) || delivery!.dueAt !== NEVER || includes(transaction.stalled, index)) return;
  const dueAt = clock.now() + random * participant.options.retryBaseMs;
  delivery!.rest(dueAt);
  deadlines.arm(transaction, dueAt);
}
