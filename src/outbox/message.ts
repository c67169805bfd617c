import { randomUUID } from 'node:crypto';
import { OutboxError } from './errors.js';

/** A message as the work of a branch writes it. @publicApi */
export interface NewMessage {
  /** The subject of the message. Clients of Nest use it as the pattern. From 1 to 200 characters. */
  readonly topic: string;
  /**
   * Messages of one key are sent in the order in which their transactions commit, one at a time. It costs a
   * lock on the key, which the branch holds until it is completed. From 1 to 200 characters.
   *
   * @default the message has no order
   */
  readonly key?: string | undefined;
  /** Any value that JSON can represent. */
  readonly payload: unknown;
}

/** A message as it is sent. @publicApi */
export interface OutboxMessage<P = unknown> {
  /** Stays the same in every attempt: a receiver recognises a message by it that it has handled before. */
  readonly id: string;
  readonly topic: string;
  readonly key?: string | undefined;
  /**
   * Grows with every message of a key. A receiver that keeps the last one of each key recognises late repeats
   * by it, also where it does not keep ids. There are gaps.
   */
  readonly position: number;
  /** The transaction that wrote it. */
  readonly transactionId: string;
  /** When its branch was begun: an ISO 8601 time of the database. */
  readonly writtenAt: string;
  /** The number of this attempt, from 1. */
  readonly attempt: number;
  readonly payload: P;
}

/** The columns of a message that a branch writes. */
export interface MessageRow {
  readonly id: string;
  readonly topic: string;
  readonly key: string | null;
  /** JSON. */
  readonly payload: string;
  readonly transactionId: string;
}

/** The most characters of a topic, and of a key. */
export const MAX_NAME_LENGTH = 200;

/** Databases and brokers cut or refuse them. */
const CONTROL_CHARACTERS = /\p{Cc}/u;

/**
 * @param maxPayloadBytes the most bytes of the payload as JSON.
 * @returns the columns of a message, with an id of its own.
 * @throws OutboxError (`DTC_OUTBOX_MESSAGE`)
 */
export function rowOf(
  { topic, key, payload, ...unknown }: NewMessage,
  { transactionId }: { readonly transactionId: string },
  maxPayloadBytes: number,
): MessageRow {
  const problems = Object.keys(unknown).map((name) => `${name} is no field of a message`);
  if (!isName(topic)) problems.push(`its topic ${NAME_RULE}`);
  if (key !== undefined && !isName(key)) problems.push(`its key ${NAME_RULE}`);
  if (typeof transactionId !== 'string') problems.push('the second argument is not the branch');
  const json = jsonOf(payload);
  if (typeof json !== 'string') problems.push(json.problem);
  else if (Buffer.byteLength(json) > maxPayloadBytes) {
    problems.push(
      `its payload has ${Buffer.byteLength(json)} bytes as JSON, and maxPayloadBytes is ${maxPayloadBytes}: store the data ` +
        'elsewhere in the same transaction, and send its id',
    );
  }
  if (problems.length > 0) {
    throw new OutboxError(
      'DTC_OUTBOX_MESSAGE',
      `A message cannot be written, so the branch is not prepared: ${problems.join('; ')}.`,
    );
  }
  return { id: randomUUID(), topic, key: key ?? null, payload: json as string, transactionId };
}

const NAME_RULE = `must have 1 to ${MAX_NAME_LENGTH} characters, none of them a control character`;

function isName(value: unknown): boolean {
  return (
    typeof value === 'string' &&
    value.length > 0 &&
    value.length <= MAX_NAME_LENGTH &&
    isWellFormed(value) &&
    !CONTROL_CHARACTERS.test(value)
  );
}

/** Half of a pair of UTF-16 has no bytes in UTF-8. */
function isWellFormed(text: string): boolean {
  return Buffer.from(text).toString() === text;
}

function jsonOf(payload: unknown): string | { readonly problem: string } {
  try {
    // Functions and undefined have no JSON, although the types allow them.
    const json = JSON.stringify(payload) as string | undefined;
    return json ?? { problem: 'its payload is nothing that JSON can represent' };
  } catch (error) {
    return { problem: `its payload cannot be written as JSON: ${(error as Error).message}` };
  }
}
