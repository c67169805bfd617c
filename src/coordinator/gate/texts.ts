import { isDeepStrictEqual } from 'node:util';

/** The most characters of a message or a reason of user code that are kept. */
export const MAX_MESSAGE_LENGTH = 300;
/** The most characters of a code, or of the name of an error, that are kept. */
export const MAX_CODE_LENGTH = 100;

/** They would make one line two, or move the cursor of a terminal. */
const CONTROL_CHARACTERS = /[\p{Cc}\p{Zl}\p{Zp}]/gu;

const UNSHOWABLE = 'something that cannot be shown was thrown';

/**
 * @returns a copy of a text that shares no memory with it. V8 makes a part of a text a view of the whole, so
 * a word of a body of ten megabytes would keep all of it in memory.
 */
export function copyOf(text: string): string {
  return Buffer.from(text, 'utf16le').toString('utf16le');
}

/** @returns a copy, cut to the given length. */
export function shortened(text: string, maxLength = MAX_MESSAGE_LENGTH): string {
  return text.length > maxLength ? `${copyOf(text.slice(0, maxLength))}…` : copyOf(text);
}

/** @returns the text of an error, short enough to be kept and logged. It never throws. */
export function messageOf(thrown: unknown): string {
  try {
    return shortened(wordsOf(thrown));
  } catch {
    // The conversion of the error to a text fails, which must not fail here.
    return UNSHOWABLE;
  }
}

/** @returns the text with its control characters escaped, so that a line of a log stays one line. */
export function oneLine(text: string): string {
  return text.replace(
    CONTROL_CHARACTERS,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** @returns the reason of a caller as a text; undefined when there is none. */
export function reasonOf(reason: unknown): string | undefined {
  return reason === undefined || reason === null ? undefined : messageOf(reason);
}

/** @returns whether two payloads are equal. Payloads that cannot be compared are not. */
export function isSamePayload(one: unknown, other: unknown): boolean {
  try {
    return isDeepStrictEqual(one, other);
  } catch {
    return false;
  }
}

/** @returns the kind of an invalid answer. Its content is kept out of logs. */
export function describeAnswer(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** @throws any error of reading the value. */
function wordsOf(thrown: unknown): string {
  if (typeof thrown === 'object' && thrown !== null) {
    // Errors of another realm are not instances of this realm's Error, so the fields count and not the class.
    const { message, name } = thrown as { message?: unknown; name?: unknown };
    if (typeof message === 'string' && message !== '') return message;
    if (thrown instanceof Error) return typeof name === 'string' ? name : 'Error';
    // The text of a list or of a buffer may be very long.
    if (Array.isArray(thrown) || ArrayBuffer.isView(thrown)) return describeAnswer(thrown);
  }
  return String(thrown);
}
