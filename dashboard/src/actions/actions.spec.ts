import { describe, expect, it } from 'vitest';
import type { BranchView, TransactionSummary } from '../api/views.js';
import { disagreement } from './action.js';
import { actionsOfBranch, actionsOfTransaction } from './transaction-actions.js';

const kinds = (actions: readonly { kind: string }[]): string[] => actions.map(({ kind }) => kind);

describe('the actions of a transaction', () => {
  it.each<[Partial<TransactionSummary>, string[]]>([
    [{ state: 'ACTIVE' }, ['abort']],
    [{ state: 'PREPARING' }, ['abort']],
    [{ state: 'READY', inDoubt: true }, []],
    [{ state: 'COMMITTING' }, []],
    [{ state: 'COMMITTING', heuristic: 'mixed' }, []],
    [{ state: 'COMMITTED', heuristic: 'mixed', endedAt: '2026-01-01T00:00:00Z' }, ['forget']],
    [{ state: 'ABORTED', endedAt: '2026-01-01T00:00:00Z' }, []],
  ])('as %j are %j', (fields, expected) => {
    const transaction = { transactionId: 't', heuristic: null, endedAt: null, branches: [], ...fields };
    expect(kinds(actionsOfTransaction(transaction as unknown as TransactionSummary))).toEqual(expected);
  });
});

describe('the actions of a branch', () => {
  const soon = '2026-01-01T00:00:00Z';

  it.each<[string, Partial<BranchView>, string[]]>([
    ['with a running attempt', { state: 'committing' }, []],
    ['that waits for its next attempt', { state: 'committing', nextAttemptAt: soon }, ['retry']],
    ['that is stalled', { state: 'rolling-back', stalled: true }, ['retry', 'resolve']],
    [
      'that is stalled at a paused participant',
      { state: 'committing', stalled: true, held: true },
      ['resolve'],
    ],
    ['that is held at a paused participant', { state: 'committing', held: true }, ['resolve']],
    ['that is completed', { state: 'committed' }, []],
    ['that has a report', { state: 'heuristic', heuristic: { kind: 'mixed', reason: '' } }, []],
  ])('%s are as safe', (_which, fields, expected) => {
    const branch = { branchId: 'b', stalled: false, held: false, nextAttemptAt: null, ...fields };
    const transaction = { transactionId: 't', decision: 'commit' } as TransactionSummary;
    expect(kinds(actionsOfBranch(transaction, branch as BranchView))).toEqual(expected);
  });

  it.each<[string, Partial<BranchView>, string[]]>([
    ['is stalled', { stalled: true, attempts: 5 }, ['retry', 'resolve']],
    ['waits for its next attempt', { attempts: 2, nextAttemptAt: soon }, ['retry']],
    ['is held', { attempts: 2, held: true }, ['resolve']],
    ['has its first attempt running', { attempts: 1 }, []],
  ])('that commits in one phase and %s are as safe, and name no decision', (_which, fields, expected) => {
    const branch = {
      branchId: 'b',
      state: 'preparing',
      stalled: false,
      held: false,
      nextAttemptAt: null,
      ...fields,
    };
    const transaction = { transactionId: 't', inDoubt: true, decision: null, branches: [branch] };
    const actions = actionsOfBranch(transaction as unknown as TransactionSummary, branch as BranchView);
    expect(kinds(actions)).toEqual(expected);
    expect(actions.map(({ consequences }) => consequences.join(' ')).join(' ')).not.toMatch(
      /is decided|stays|null/,
    );
  });

  it('are none while participants prepare, before the decision', () => {
    const branch = { branchId: 'b', state: 'preparing', stalled: false, held: false, attempts: 1 };
    const transaction = { transactionId: 't', inDoubt: false, decision: null, branches: [branch] };
    const actions = actionsOfBranch(transaction as unknown as TransactionSummary, branch as BranchView);
    expect(actions).toEqual([]);
  });

  it('are sent to its route, whatever its name', () => {
    const branch = { branchId: 'b/1?', state: 'committing', stalled: true, held: false } as BranchView;
    const transaction = { transactionId: 't#1', decision: 'commit' } as TransactionSummary;
    expect(actionsOfBranch(transaction, branch)[0]!.path).toBe('transactions/t%231/branches/b%2F1%3F/retry');
  });
});

describe('an end stated by hand', () => {
  it.each([
    ['commit', 'commit', false],
    ['rollback', 'abort', false],
    ['rollback', 'commit', true],
    ['commit', 'abort', true],
    ['mixed', 'commit', true],
    ['hazard', 'abort', true],
    ['commit', null, false],
    ['rollback', null, false],
    ['mixed', null, true],
    ['hazard', null, true],
  ] as const)('%s, when %s was decided, shows a warning: %s', (end, decision, isWarned) => {
    expect(disagreement(end, decision) !== undefined).toBe(isWarned);
  });
});
