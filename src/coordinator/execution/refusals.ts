import type { AbortVote } from '../participant/participant.js';
import type { Refusal } from './branch-record.js';
import { messageOf } from './incident.js';

/** @returns a refusal as the driver keeps it, from a participant's vote or from what it threw. */
export function refusalOf(vote: 'abort' | AbortVote | undefined, error: unknown): Refusal {
  if (vote === undefined) return { code: undefined, reason: messageOf(error), error };
  if (vote === 'abort') return { code: undefined, reason: 'refused without a reason', error: undefined };
  return {
    code: textOf(vote.code),
    reason: textOf(vote.reason) ?? 'refused without a reason',
    error: undefined,
  };
}

/** What a participant says is not trusted to be what the types promise. */
function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? messageOf(value) : undefined;
}
