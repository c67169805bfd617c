import { type Branch, originOf } from '../../../src/coordinator/index.js';
import { idOf, runOf } from '../identity.js';

/** A branch as a coordinator would hand it to a participant, with what the test may do to it. */
export interface TestBranch<P = unknown> extends Branch<P> {
  /** No caller waits for the call any more. */
  abort(): void;
}

let sequence = 0;

/**
 * Makes a branch of a transaction of its own.
 *
 * @param given what matters to the test. `withinMs` is the time until the deadline. @default 10_000
 */
export function someBranch<P = unknown>(
  given: Partial<Branch<P>> & { readonly withinMs?: number } = {},
): TestBranch<P> {
  const controller = new AbortController();
  const { withinMs = 10_000, transactionId = idOf('shop', 1, ++sequence), ...rest } = given;
  return {
    transactionId,
    branchId: 'b',
    payload: undefined as P,
    deadline: performance.timeOrigin + performance.now() + withinMs,
    signal: controller.signal,
    attempt: 0,
    run: runOf(originOf(transactionId)),
    ...rest,
    abort: () => controller.abort(new Error('the caller has gone')),
  };
}

/** The same branch in another call: a decision, or a repeat. */
export function again<P>(branch: Branch<P>, attempt = 1): TestBranch<P> {
  const { transactionId, branchId, payload } = branch;
  return someBranch({ transactionId, branchId, payload, attempt });
}

/** Nothing takes this long but a defect, however busy the machine is. */
const PATIENCE_MS = 40_000;

/** Waits until a condition holds, looking often. @throws when it does not within 40 seconds. */
export async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`Waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
