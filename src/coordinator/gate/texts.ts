import { isDeepStrictEqual } from 'node:util';

/** The most characters that are kept of a message or a reason of user code. */
export const MAX_MESSAGE_LENGTH = 300;
/** The most characters that are kept of a code, or of the name of an error. */
export const MAX_CODE_LENGTH = 100;

const UNSHOWABLE = 'something that cannot be shown was thrown';

/**
 * @returns a text that shares no memory with the one it is made of. V8 makes a part of a text a view of the whole, so that
 * a word of a body of ten megabytes keeps all of it.
 */
export function copyOf(text: string): string {
  return Buffer.from(text, 'utf16le').toString('utf16le');
}

/** @returns a copy, cut where it is longer than that. */
export function shortened(text: string, maxLength = MAX_MESSAGE_LENGTH): string {
  return text.length > maxLength ? `${copyOf(text.slice(0, maxLength))}…` : copyOf(text);
}

/** @returns what was thrown in words, short enough to be kept and logged. It never throws. */
export function messageOf(thrown: unknown): string {
  try {
    return shortened(wordsOf(thrown));
  } catch {
    // What was thrown refuses to be made a text, which is no reason to fail here.
    return UNSHOWABLE;
  }
}

/** @returns the reason that a caller gives, in words; undefined when it gives none. */
export function reasonOf(reason: unknown): string | undefined {
  return reason === undefined || reason === null ? undefined : messageOf(reason);
}

/** @returns whether two payloads ask for the same. What cannot be compared does not. */
export function isSamePayload(one: unknown, other: unknown): boolean {
  try {
    return isDeepStrictEqual(one, other);
  } catch {
    return false;
  }
}

/** @returns what kind of value was answered where another was due. What it holds is kept out of logs. */
export function describeAnswer(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** @throws whatever the value throws when it is looked at. */
function wordsOf(thrown: unknown): string {
  if (typeof thrown === 'object' && thrown !== null) {
    // Errors of another realm are no instances of this one's Error, so what it has to say counts, and not what it is.
    const { message, name } = thrown as { message?: unknown; name?: unknown };
    if (typeof message === 'string' && message !== '') return message;
    if (thrown instanceof Error) return typeof name === 'string' ? name : 'Error';
    // The text of a list or of a buffer is as long as it is.
    if (Array.isArray(thrown) || ArrayBuffer.isView(thrown)) return describeAnswer(thrown);
  }
  return String(thrown);
}
