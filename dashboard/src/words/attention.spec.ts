import { describe, expect, it } from 'vitest';
import type { BranchView, TransactionSummary } from '../api/views.js';
import { attentionOf, nextOf } from './attention.js';

const NOW_MS = Date.parse('2026-01-01T00:01:00.000Z');

function branch(fields: Partial<BranchView> = {}): BranchView {
  return {
    branchId: 'b1',
    participant: 'payment',
    vote: 'commit',
    state: 'committing',
    stalled: false,
    held: false,
    attempts: 3,
    lastError: null,
    nextAttemptAt: null,
    heuristic: null,
    ...fields,
  };
}

function transaction(fields: Partial<TransactionSummary> = {}): TransactionSummary {
  return {
    transactionId: 't1',
    name: 'create-order',
    state: 'COMMITTING',
    stalled: false,
    inDoubt: false,
    decision: 'commit',
    cause: null,
    reason: null,
    heuristic: null,
    startedAt: '2026-01-01T00:00:00.000Z',
    deadlineAt: '2026-01-01T00:01:05.000Z',
    decidedAt: '2026-01-01T00:00:01.000Z',
    endedAt: null,
    durationMs: null,
    ageMs: 60_000,
    branches: [branch()],
    ...fields,
  };
}

describe('what needs attention', () => {
  it('is no transaction that continues by itself', () => {
    expect(attentionOf(transaction(), NOW_MS)).toBeUndefined();
  });

  it('is a stalled branch, with its last error and what it waits for', () => {
    const stalled = branch({
      stalled: true,
      attempts: 12,
      lastError: 'connect ECONNREFUSED',
      nextAttemptAt: '2026-01-01T00:01:04.000Z',
    });
    expect(attentionOf(transaction({ stalled: true, branches: [stalled] }), NOW_MS)).toEqual({
      kind: 'stalled',
      why: ['payment: 12 attempts failed, the last with “connect ECONNREFUSED”.'],
      since: '2026-01-01T00:00:01.000Z',
      next: 'payment: next attempt in 4 s.',
    });
  });

  it('is a heuristic report, which only an operator ends', () => {
    const reported = branch({ state: 'heuristic', heuristic: { kind: 'rollback', reason: 'by hand' } });
    const ended = transaction({ state: 'COMMITTED', heuristic: 'rollback', branches: [reported] });
    expect(attentionOf(ended, NOW_MS)).toMatchObject({
      kind: 'heuristic',
      why: ['payment rolled back although commit was decided: by hand'],
      next: 'Nothing by itself. Repair the data at the participants, then forget the report.',
    });
  });

  it('is a transaction in doubt, since it began', () => {
    const inDoubt = transaction({ state: 'READY', inDoubt: true, decision: null, decidedAt: null });
    expect(attentionOf(inDoubt, NOW_MS)).toMatchObject({
      kind: 'in doubt',
      since: '2026-01-01T00:00:00.000Z',
    });
  });

  it('is a one-phase commit without an answer: its participant is asked, and not the log', () => {
    const asked = branch({ vote: null, state: 'preparing', nextAttemptAt: '2026-01-01T00:01:04.000Z' });
    const inDoubt = transaction({
      state: 'READY',
      inDoubt: true,
      decision: null,
      decidedAt: null,
      branches: [asked],
    });
    expect(attentionOf(inDoubt, NOW_MS)).toMatchObject({
      kind: 'in doubt',
      why: ['payment commits in one phase, and has not reported whether it committed.'],
      next: 'payment is asked until it reports its decision. payment: next attempt in 4 s.',
    });
    const stalled = {
      ...inDoubt,
      stalled: true,
      branches: [{ ...asked, stalled: true, nextAttemptAt: null }],
    };
    expect(attentionOf(stalled, NOW_MS)).toMatchObject({
      kind: 'stalled',
      next: 'payment is asked until it reports its decision. payment: tried at the next round of the recovery job.',
    });
  });
});

describe('what happens next', () => {
  const paused = branch({ held: true, stalled: true, nextAttemptAt: '2026-01-01T00:01:04.000Z' });

  it.each<[string, Partial<TransactionSummary>, string]>([
    [
      'an open transaction',
      { state: 'ACTIVE' },
      "Decided by its participants' votes, or aborted at its deadline in 5 s.",
    ],
    ['an attempt', {}, 'payment: an attempt is running.'],
    ['a paused participant', { branches: [paused] }, 'payment: waits until the participant is resumed.'],
    [
      'a stalled branch without a date',
      { branches: [branch({ stalled: true })] },
      'payment: tried at the next round of the recovery job.',
    ],
    [
      'an end',
      { state: 'COMMITTED', branches: [branch({ state: 'committed' })] },
      'Nothing more: it has ended.',
    ],
  ])('to %s has a text', (_what, fields, words) => {
    expect(nextOf(transaction(fields), NOW_MS)).toBe(words);
  });
});
