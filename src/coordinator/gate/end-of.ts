import { types } from 'node:util';
import { type Settled, isSound, settled } from './settled.js';

/**
 * @returns how an effect of user code ends; never a rejection. Most are native promises, which are simply
 * awaited.
 */
export async function endOf(effect: () => unknown): Promise<Settled> {
  let answer: unknown;
  try {
    answer = effect();
    if (isSound(answer)) return { value: await answer };
  } catch (error) {
    return { error };
  }
  return settled(() => answer);
}

/** Whether a value is not a thenable. No code of the value runs to find out. */
export function isAtHand(answer: unknown): boolean {
  if (answer === undefined || answer === null) return true;
  return (
    typeof answer === 'object' &&
    !types.isProxy(answer) &&
    Object.getPrototypeOf(answer) === Object.prototype &&
    !('then' in answer)
  );
}
