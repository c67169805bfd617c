import { type AbortVote, type Vote, isRefusal } from '../participant/participant.js';

/** The longest text of a participant that is kept. */
const MAX_TEXT_LENGTH = 300;

/**
 * @returns the vote that an answer is, read once and copied, so that nothing else of the answer is kept; undefined when it
 * is none, or cannot be read.
 */
export function voteIn(answer: unknown): Vote | undefined {
  if (answer === 'commit' || answer === 'read-only' || answer === 'abort') return answer;
  try {
    if (!isRefusal(answer) || typeof answer !== 'object') return undefined;
    // A participant need not keep to the types.
    const { code, reason, conflict, overloaded }: Readonly<Partial<Record<keyof AbortVote, unknown>>> =
      answer;
    return {
      vote: 'abort',
      code: typeof code === 'string' ? textOf(code) : '',
      reason: typeof reason === 'string' ? textOf(reason) : '',
      ...(conflict === true && { conflict }),
      ...(overloaded === true && { overloaded }),
    };
  } catch {
    // What cannot be read is no vote.
    return undefined;
  }
}

/** @returns what was thrown or said, as a text short enough to be kept. */
export function textOf(value: unknown): string {
  let text: string;
  try {
    text = String(value instanceof Error ? value.message || value.name : value);
  } catch {
    // What was thrown refuses to be made a text, which is no reason to fail here.
    text = 'something that cannot be shown';
  }
  return text.length > MAX_TEXT_LENGTH ? `${text.slice(0, MAX_TEXT_LENGTH)}…` : text;
}

/** @returns what kind of value was answered. What it holds is kept out of records. */
export function describeAnswer(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
