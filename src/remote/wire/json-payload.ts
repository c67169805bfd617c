import { MAX_DEPTH, MAX_PAYLOAD_BYTES } from './limits.js';

/** Why a payload cannot be sent to another process, and the path of the field at fault. @publicApi */
export interface PayloadProblem {
  /** Such as `payload.items[0].price`. */
  readonly path: string;
  readonly problem: string;
}

/** A payload as JSON, or the reason why it cannot be sent. */
export type SentPayload = { readonly text: string | undefined } | PayloadProblem;

/** A key that a path can show after a dot. */
const PLAIN_KEY = /^[A-Za-z_$][\w$]*$/;
/** The longest path that is shown. */
const MAX_PATH_LENGTH = 200;

class NotJson extends Error {
  constructor(
    readonly path: string,
    message: string,
  ) {
    super(message);
  }
}

/**
 * Writes a payload as JSON, if the other process reads the same value from it: null, booleans, finite
 * numbers, texts, lists and plain objects. A property that is undefined is left out, as JSON does. Everything
 * else would arrive as another value, such as a Date as a text, or a Map as an empty object.
 *
 * @param maxBytes the most bytes that its JSON may have.
 * @returns its text, undefined for a payload that is undefined; or the first problem.
 */
export function sentPayload(payload: unknown, maxBytes = MAX_PAYLOAD_BYTES): SentPayload {
  if (payload === undefined) return { text: undefined };
  try {
    check(payload, 'payload', 0);
    const text = JSON.stringify(payload);
    const bytes = Buffer.byteLength(text);
    if (bytes <= maxBytes) return { text };
    return { path: 'payload', problem: `has ${bytes} bytes as JSON, and at most ${maxBytes} can be sent` };
  } catch (error) {
    if (error instanceof NotJson) return { path: error.path, problem: error.message };
    // A getter or a Proxy has thrown.
    return { path: 'payload', problem: 'cannot be read' };
  }
}

function check(value: unknown, path: string, depth: number): void {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return;
    case 'number':
      if (Number.isFinite(value)) return;
      throw new NotJson(path, `is ${value}, and JSON has no such number`);
    case 'object':
      break;
    case 'bigint':
      throw new NotJson(path, 'is a bigint: send it as a text');
    case 'undefined':
      throw new NotJson(path, 'is undefined: send null');
    case 'function':
    case 'symbol':
      throw new NotJson(path, `is a ${typeof value}, and JSON cannot contain it`);
  }
  if (value === null) return;
  if (depth === MAX_DEPTH)
    throw new NotJson(shown(path), `is nested more than ${MAX_DEPTH} levels deep, or contains itself`);
  if (Array.isArray(value)) checkItems(value, path, depth);
  else checkObject(value, path, depth);
}

function checkItems(list: readonly unknown[], path: string, depth: number): void {
  // Neither forEach nor for..of finds a hole for what it is.
  for (let index = 0; index < list.length; index++) check(list[index], `${path}[${index}]`, depth + 1);
}

function checkObject(value: object, path: string, depth: number): void {
  const prototype: unknown = Object.getPrototypeOf(value);
  // The prototype of a plain object has none itself, whichever realm made it.
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    throw new NotJson(
      path,
      value instanceof Date
        ? 'is a Date: send it as a text, with toISOString()'
        : `is an instance of ${classOf(value)}: send a plain object`,
    );
  }
  if (Object.getOwnPropertySymbols(value).length > 0) {
    throw new NotJson(path, 'has a symbol as a key, and JSON cannot contain it');
  }
  for (const [key, field] of Object.entries(value)) {
    if (field !== undefined) check(field, pathOf(path, key), depth + 1);
  }
}

function pathOf(path: string, key: string): string {
  return PLAIN_KEY.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`;
}

function shown(path: string): string {
  return path.length > MAX_PATH_LENGTH ? `${path.slice(0, MAX_PATH_LENGTH)}…` : path;
}

function classOf(value: object): string {
  const { name } = (value.constructor ?? {}) as { readonly name?: unknown };
  return typeof name === 'string' && name !== '' ? name : 'a class';
}
