import { isRefusal } from '../participant/participant.js';
import type { Refusal } from './branch-record.js';
import { messageOf } from './incident.js';

/** @returns the refusal that an answer is, or undefined when it is none, or something that cannot even be read. */
export function refusalIn(answer: unknown): Refusal | undefined {
  try {
    if (!isRefusal(answer)) return undefined;
    const { code, reason } = answer === 'abort' ? NOTHING_SAID : answer;
    return { code: textOf(code), reason: textOf(reason) ?? 'refused without a reason', error: undefined };
  } catch {
    return undefined;
  }
}

/** @returns what was thrown in place of a vote. */
export function failureOf(error: unknown): Refusal {
  return { code: undefined, reason: messageOf(error), error };
}

const NOTHING_SAID = { code: undefined, reason: undefined };

/** What a participant says is not trusted to be what the types promise. */
function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? messageOf(value) : undefined;
}
