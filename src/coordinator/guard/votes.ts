import { MAX_CODE_LENGTH, shortened } from '../gate/texts.js';
import { type AbortVote, type Vote, isRefusal } from '../participant/participant.js';

/**
 * @returns the vote in an answer, read once, copied and frozen, so that nothing else of the answer is kept;
 * undefined when the answer is not a vote or cannot be read.
 */
export function voteIn(answer: unknown): Vote | undefined {
  if (answer === 'commit' || answer === 'read-only' || answer === 'abort') return answer;
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
