import { createHash } from 'node:crypto';

/** @returns the id of the order of a request. It is made from the key, so a repeat of the request names the same order. */
export function orderIdOf(key: string): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 32);
}
