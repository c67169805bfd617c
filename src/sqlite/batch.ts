import type { Batch, PUT, REMOVE, REMOVE_ALL } from './messages.js';

/** A write: stores a value under the key, or removes the key, or removes all keys with the prefix. */
export interface Write {
  readonly kind: typeof PUT | typeof REMOVE | typeof REMOVE_ALL;
  readonly key: string;
  readonly body: Uint8Array;
}

/** @returns the writes as one message. */
export function batchOf(writes: readonly Write[]): Batch {
  const lengths = Uint32Array.from(writes, ({ body }) => body.length);
  const bodies = new Uint8Array(lengths.reduce((total, length) => total + length, 0));
  let at = 0;
  for (const { body } of writes) {
    bodies.set(body, at);
    at += body.length;
  }
  return {
    kinds: Uint8Array.from(writes, ({ kind }) => kind),
    keys: writes.map(({ key }) => key),
    lengths,
    bodies,
  };
}
