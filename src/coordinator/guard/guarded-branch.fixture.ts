import { vi } from 'vitest';
import type { Branch, Vote } from '../participant/participant.js';
import { runOf } from '../../../test/support/identity.js';

/** The key of {@link someBranch} in the guard's records. */
export const KEY = 't1/stock';

const { signal } = new AbortController();

/** @returns a branch as a coordinator passes it to prepare, with the given fields replaced. */
export function someBranch(given: Partial<Branch> = {}): Branch {
  return {
    transactionId: 't1',
    branchId: 'stock',
    payload: 1,
    deadline: 0,
    signal,
    attempt: 0,
    run: runOf(),
    ...given,
  };
}

/**
 * @returns the effects of a participant, all of which succeed: its work, which votes commit, and its commit
 * and undo.
 */
export function someEffects() {
  return {
    work: vi.fn<() => Promise<Vote>>(async () => 'commit'),
    finish: vi.fn<() => Promise<void>>(async () => {}),
    undo: vi.fn<() => Promise<void>>(async () => {}),
  };
}
