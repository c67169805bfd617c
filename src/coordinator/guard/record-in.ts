import { shortened } from '../gate/texts.js';
import type { AbortVote } from '../participant/participant.js';
import type { GuardRecord, GuardStep } from './guard-store.js';
import { voteIn } from './votes.js';

type Fields = Readonly<Partial<Record<string, unknown>>>;

/**
 * @returns the record in a store's answer, with each field read once; undefined when the answer is not a
 * record or cannot be read.
 */
export function recordIn(answer: unknown): GuardRecord | undefined {
  if (typeof answer !== 'object' || answer === null) return undefined;
  try {
    const { state, by, vote, expiresAt, message, step, answer: refusal, token } = answer as Fields;
    return recordOf({ state, by, vote, expiresAt, message, step, refusal, token });
  } catch {
    // An answer that cannot be read is not a record.
    return undefined;
  }
}

function recordOf({
  state,
  by,
  vote,
  expiresAt,
  message,
  step,
  refusal,
  token,
}: Fields): GuardRecord | undefined {
  switch (state) {
    case 'preparing':
      return { state, ...writer(by) };
    case 'voted': {
      const read = voteIn(vote);
      return read && { state, vote: read, ...(typeof expiresAt === 'number' && { expiresAt }) };
    }
    case 'failed':
      return typeof message === 'string' ? { state, message: shortened(message) } : undefined;
    case 'committing':
      return isStep(step) ? { state, step, ...writer(by) } : undefined;
    case 'committed':
      return { state };
    case 'rolling-back': {
      const rest = answerIn(refusal);
      return isStep(step) ? rest && { state, step, ...writer(by), ...rest } : undefined;
    }
    case 'rolled-back': {
      const rest = answerIn(refusal);
      return rest && { state, ...rest };
    }
    case 'run':
      return typeof token === 'string' ? { state, token } : undefined;
    default:
      return undefined;
  }
}

function isStep(value: unknown): value is GuardStep {
  return value === 'begun' || value === 'failed';
}

function writer(by: unknown): { by?: string } {
  return typeof by === 'string' ? { by } : {};
}

/** @returns the answer of a one-phase commit, if it is one; undefined otherwise. */
function answerIn(value: unknown): { answer?: AbortVote } | undefined {
  if (value === undefined || value === null) return {};
  const answer = voteIn(value);
  return typeof answer === 'object' && answer.vote === 'abort' ? { answer } : undefined;
}
