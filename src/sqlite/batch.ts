import type { Batch, PUT, REMOVE, REMOVE_ALL } from './messages.js';

/** A write: stores a value under the key, or removes the key, or removes all keys with the prefix. */
export interface Write {
  readonly kind: typeof PUT | typeof REMOVE | typeof REMOVE_ALL;
  readonly key: string;
  readonly body: Uint8Array;
}

/** Up to so many numbers take less time as they are than as bytes that change their thread. */
const FEW = 32;

/** @returns the writes as one message, and what of it changes its thread. */
export function batchOf(writes: readonly Write[]): {
  readonly batch: Batch;
  readonly transfer: ArrayBuffer[];
} {
  const total = writes.reduce((sum, { body }) => sum + body.length, 0);
  const bodies = new Uint8Array(total);
  let at = 0;
  for (const { body } of writes) {
    bodies.set(body, at);
    at += body.length;
  }
  const keys = writes.map(({ key }) => key);
  const kinds = writes.map(({ kind }) => kind);
  const lengths = writes.map(({ body }) => body.length);
  if (writes.length <= FEW) return { batch: { kinds, keys, lengths, bodies }, transfer: [bodies.buffer] };
  const many = { kinds: Uint8Array.from(kinds), keys, lengths: Uint32Array.from(lengths), bodies };
  return { batch: many, transfer: [many.kinds.buffer, many.lengths.buffer, bodies.buffer] };
}
