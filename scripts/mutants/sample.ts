import { createHash } from 'node:crypto';

/**
 * @param seed the same seed takes the same from the same list; one that is added or left out moves no other.
 * @returns so many of the names, or all where there are no more.
 */
export function sample<T extends { readonly name: string }>(
  all: readonly T[],
  size: number,
  seed: number,
): T[] {
  const rank = ({ name }: T): string => createHash('sha256').update(`${seed} ${name}`).digest('hex');
  const chosen = new Set(all.toSorted((a, b) => (rank(a) < rank(b) ? -1 : 1)).slice(0, size));
  return all.filter((one) => chosen.has(one));
}
