import { Expiring, Refused, answerOf } from '../gate/answer.js';
import { failureOf } from '../gate/failure.js';
import { describeAnswer, messageOf } from '../gate/texts.js';

/** Why a member cannot be part of its group. */
export class Problem {
  constructor(
    readonly cause: 'refused' | 'failed',
    readonly message: string,
    readonly code: string | undefined,
    readonly error: unknown,
    readonly conflict: boolean,
    readonly temporary: boolean,
  ) {}
}

/** The answer of a participant for one member. */
export type ReadVote = 'commit' | 'read-only' | 'not-run' | 'alone' | Problem;

export function isProblem(answer: ReadVote): answer is Problem {
  return answer instanceof Problem;
}

/**
 * Reads the answer of a participant to the work of a group. Each value is read once.
 *
 * @returns the votes, or a text that says why it is no answer.
 */
export function votesIn(value: unknown, count: number): readonly ReadVote[] | string {
  try {
    if (!Array.isArray(value))
      return `answered the work of a group with ${describeAnswer(value)}, not with a list of votes`;
    if (value.length !== count) return `answered the work of ${count} members with ${value.length} votes`;
    const votes: ReadVote[] = [];
    for (let index = 0; index < count; index++) {
      const vote = voteIn(value[index]);
      if (vote === undefined)
        return `answered for a member with ${describeAnswer(value[index])}, which is not a vote`;
      votes.push(vote);
    }
    return votes;
  } catch (error) {
    return `gave votes that cannot be read: ${messageOf(error)}`;
  }
}

function voteIn(value: unknown): ReadVote | undefined {
  if (value === 'not-run' || value === 'alone') return value;
  if (typeof value === 'object' && value !== null) {
    const { vote, error } = value as Readonly<Record<string, unknown>>;
    if (vote === 'failed') {
      const { message, code, thrown } = failureOf(error);
      return new Problem('failed', message, code, thrown, false, false);
    }
  }
  const answer = answerOf(value);
  if (answer === 'commit' || answer === 'read-only') return answer;
  // The group may take longer than the vote holds, and would be aborted with all other members.
  if (answer instanceof Expiring) return 'alone';
  if (!(answer instanceof Refused)) return undefined;
  const { reason, code, conflict, temporary } = answer;
  return new Problem('refused', reason, code, undefined, conflict, temporary);
}
