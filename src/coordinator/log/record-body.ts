import { deserialize, serialize } from 'node:v8';
import { CHECK, fitsItsKind } from './record-shapes.ts';

const OF_ANOTHER_SHAPE = 'it does not have the shape of its kind';

/** The first byte of a body tells which of two forms follows. */
const JSON_TEXT = 0x6a;
/**
 * The format of V8, which keeps everything that a structured clone keeps: dates, maps, big integers, bytes,
 * undefined.
 */
const STRUCTURED_CLONE = 0x76;

/**
 * The most values of a payload that are examined, and the most levels: a larger one becomes a structured
 * clone.
 */
const MOST_VALUES = 1_000;
const MOST_LEVELS = 64;

/**
 * Writes the body of a record. A value that JSON reproduces is stored as JSON, which takes a third of the
 * time; any other as a structured clone.
 *
 * @param payloads values of callers, which may be anything. The rest of the record must be plain.
 * @throws DataCloneError when it holds a value that cannot be stored, such as a function; Error when it does
 * not have the shape of its kind.
 */
export function encodeBody(key: string, record: object, payloads: readonly unknown[] = []): Uint8Array {
  if (!fitsItsKind(key, record)) throw new Error(OF_ANOTHER_SHAPE);
  const look = new PlainLook();
  if (payloads.every((payload) => look.isPlain(payload, MOST_LEVELS))) {
    const text = JSON.stringify(record);
    const body = Buffer.allocUnsafe(1 + Buffer.byteLength(text));
    body[0] = JSON_TEXT;
    body.write(text, 1);
    return body;
  }
  const clone = serialize(record);
  const body = Buffer.allocUnsafe(1 + clone.length);
  body[0] = STRUCTURED_CLONE;
  body.set(clone, 1);
  return body;
}

/**
 * Reads the body of a record, as the next start will read it.
 *
 * @throws Error when it cannot be read, or does not have the shape of its kind.
 */
export function readBody(key: string, body: Uint8Array): unknown {
  if (key === CHECK) return undefined;
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length);
  const value = valueOf(bytes);
  if (!fitsItsKind(key, value)) throw new Error(OF_ANOTHER_SHAPE);
  return value;
}

/**
 * Proves that a body made by `encodeBody` can be read again. JSON made of plain values needs no proof: it is
 * not nested deeply. A structured clone does: a value that can be written may not be readable, for example if
 * it is nested so deeply that reading it takes more stack than writing it.
 *
 * @throws Error when it cannot be read.
 */
export function proveReadable(key: string, body: Uint8Array): void {
  if (body[0] !== JSON_TEXT) readBody(key, body);
}

function valueOf(bytes: Buffer): unknown {
  if (bytes[0] === JSON_TEXT) return JSON.parse(bytes.toString('utf8', 1));
  if (bytes[0] === STRUCTURED_CLONE) return deserialize(bytes.subarray(1));
  throw new Error('it is in no known form');
}

/** Whether JSON reproduces a value. */
class PlainLook {
  private left = MOST_VALUES;

  isPlain(value: unknown, levels: number): boolean {
    if (--this.left < 0 || levels === 0) return false;
    if (typeof value === 'string' || typeof value === 'boolean' || value === null) return true;
    if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0);
    return typeof value === 'object' && this.isPlainObject(value, levels - 1);
  }

  private isPlainObject(value: object, levels: number): boolean {
    const names = Object.keys(value);
    if (Array.isArray(value)) {
      if (names.length !== value.length || Object.getPrototypeOf(value) !== Array.prototype) return false;
      // With as many names as places, each hole stands for a name that JSON drops.
      for (let place = 0; place < value.length; place++) {
        if (!Object.hasOwn(value, place) || !this.isPlain(value[place], levels)) return false;
      }
      return true;
    }
    if (Object.getPrototypeOf(value) !== Object.prototype || 'toJSON' in value) return false;
    return names.every((name) => this.isPlain((value as Record<string, unknown>)[name], levels));
  }
}
