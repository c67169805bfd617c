import { InvalidRequestError } from '../errors.js';
import { copyOf, describeAnswer, messageOf } from '../gate/texts.js';

/**
 * What a transaction is about, for people who look for it: keys of the business, such as `{ orderId: '4711'
 * }`. At most 8. A name has 1 to 40 characters of A-Z, a-z, 0-9, `.`, `_` and `-`, the first a letter. A
 * value has 1 to 200 characters, and no control characters.
 *
 * @publicApi
 */
export type Attributes = Readonly<Record<string, string>>;

/** The most attributes of a transaction. */
export const MAX_ATTRIBUTES = 8;
/** The form of the name of an attribute. */
export const ATTRIBUTE_NAME = /^[A-Za-z][A-Za-z0-9._-]{0,39}$/;
/** The form of its value: printed as it is, it stays within one line. */
export const ATTRIBUTE_VALUE = /^[^\p{Cc}\p{Zl}\p{Zp}]{1,200}$/u;

/**
 * @returns a copy of the attributes, each read once; undefined if there are none.
 * @throws InvalidRequestError when they are not such attributes.
 */
export function attributesIn(value: unknown): Attributes | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidRequestError('attributes', `must be an object of texts, not ${describeAnswer(value)}`);
  }
  let entries: [string, unknown][];
  try {
    entries = Object.entries(value);
  } catch (error) {
    throw new InvalidRequestError('attributes', `cannot be read: ${messageOf(error)}`);
  }
  if (entries.length > MAX_ATTRIBUTES) {
    throw new InvalidRequestError('attributes', `must be at most ${MAX_ATTRIBUTES}, not ${entries.length}`);
  }
  if (entries.length === 0) return undefined;
  return Object.freeze(Object.fromEntries(entries.map(checked)));
}

/** @throws InvalidRequestError. A name that is not valid is not quoted. */
function checked([name, value]: [string, unknown]): [string, string] {
  if (!ATTRIBUTE_NAME.test(name)) {
    throw new InvalidRequestError(
      'attributes',
      'must have names of 1 to 40 characters of A-Z, a-z, 0-9, ".", "_" and "-", the first a letter',
    );
  }
  if (typeof value !== 'string' || !ATTRIBUTE_VALUE.test(value)) {
    throw new InvalidRequestError(
      `attributes.${name}`,
      'must be a text of 1 to 200 characters without control characters',
    );
  }
  return [copyOf(name), copyOf(value)];
}
