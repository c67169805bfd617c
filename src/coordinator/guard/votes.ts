import { MAX_CODE_LENGTH, shortened } from '../gate/texts.js';
import { expiringVoteIn } from '../gate/expiring-vote.js';
import type { GuardRecord } from './guard-store.js';
import { type AbortVote, type Vote, isRefusal } from '../participant/participant.js';

type VotedRecord = Extract<GuardRecord, { state: 'voted' }>;

/**
 * @returns the vote in an answer, read once, copied and frozen, so that nothing else of the answer is kept;
 * undefined when the answer is not a vote or cannot be read.
 */
export function voteIn(answer: unknown): Vote | undefined {
  if (answer === 'commit' || answer === 'read-only' || answer === 'abort') return answer;
  const expiring = expiringVoteIn(answer);
  if (expiring !== undefined) return expiring;
  try {
    if (!isRefusal(answer) || typeof answer !== 'object') return undefined;
    // A participant need not respect the types.
    const {
      code,
      reason,
      conflict,
      overloaded,
      temporary,
    }: Readonly<Partial<Record<keyof AbortVote, unknown>>> = answer;
    return Object.freeze({
      vote: 'abort',
      code: typeof code === 'string' ? shortened(code, MAX_CODE_LENGTH) : '',
      reason: typeof reason === 'string' ? shortened(reason) : '',
      ...(conflict === true && { conflict }),
      ...(overloaded === true && { overloaded }),
      ...(typeof temporary === 'boolean' && { temporary }),
    });
  } catch {
    // An answer that cannot be read is not a vote.
    return undefined;
  }
}

/**
 * @param calledAt when its prepare was called, in milliseconds since the epoch: a vote that expires is
 * counted from there.
 * @returns the record of a branch that has voted.
 */
export function votedRecord(vote: Vote, calledAt: number): VotedRecord {
  const expires = typeof vote === 'object' && vote.vote === 'commit';
  return { state: 'voted', vote, ...(expires && { expiresAt: calledAt + vote.validForMs }) };
}

/** @returns the vote of a record for a repeated prepare, with the rest of its time, counted from now. */
export function voteOf({ vote, expiresAt = 0 }: VotedRecord): Vote {
  if (typeof vote === 'string' || vote.vote === 'abort') return vote;
  // An expired vote is still a vote: its branch holds something, and the coordinator rolls it back.
  return { vote: 'commit', validForMs: Math.max(1, expiresAt - Date.now()) };
}
