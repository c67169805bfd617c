import type { Branch } from '../../src/coordinator/index.js';
import type { Contender } from '../framework/contender.js';
import { type Trio, WORK, bareBranch } from './participants.js';

const COMMITTED = { status: 'committed' } as const;

/**
 * The least work that reaches three participants twice: two rounds of `Promise.all`. There is no id, no
 * time-out and no check of a vote, and nothing is undone when one of them fails. The benchmark measures
 * coordinators against this.
 */
export function floorOver(trio: Trio): Contender {
  const branch = bareBranch(WORK);
  return { name: 'floor', run: () => twoRounds(trio, branch, branch, branch) };
}

export async function twoRounds<P>(
  [first, second, third]: Trio<P>,
  a: Branch<P>,
  b: Branch<P>,
  c: Branch<P>,
): Promise<{ readonly status: 'committed' }> {
  await Promise.all([first.prepare(a), second.prepare(b), third.prepare(c)]);
  await Promise.all([first.commit(a), second.commit(b), third.commit(c)]);
  return COMMITTED;
}
