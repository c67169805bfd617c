import { vi } from 'vitest';
import type { Branch, Vote } from '../participant/participant.js';
import { runOf } from '../../../test/support/identity.js';

/** Under which the guard keeps the record of {@link someBranch}. */
export const KEY = 't1/stock';

const { signal } = new AbortController();

/** @returns a branch as a coordinator hands it to prepare, with what is given in its place. */
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

/** @returns the effects of a participant, each of which succeeds: its work, which votes commit, and what ends it. */
export function someEffects() {
  return {
    work: vi.fn<() => Promise<Vote>>(async () => 'commit'),
    finish: vi.fn<() => Promise<void>>(async () => {}),
    undo: vi.fn<() => Promise<void>>(async () => {}),
  };
}
