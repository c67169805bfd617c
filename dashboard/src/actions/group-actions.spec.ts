import { describe, expect, it } from 'vitest';
import { alarmOf } from '../../../src/coordinator/observation/alarms/alarm.js';
import type { BranchView, OwnedAlarm, TransactionSummary } from '../api/views.js';
import { MAX_TARGETS, groupActionOf, groupKindsOf, messageOf, shortfallOf } from './group-actions.js';

const STALLED: OwnedAlarm = {
  ...alarmOf('DtcStalled', 'payment', { unit: 'transactions', cause: 'ECONNREFUSED' }),
  members: [],
};
const REPORTED: OwnedAlarm = {
  ...alarmOf('DtcHeuristicReportOpen', 'payment', { unit: 'transactions' }),
  members: [],
};

function stalled(id: string, fields: Partial<BranchView> = {}): TransactionSummary {
  const branch = { branchId: 'b', participant: 'payment', state: 'committing', stalled: true, held: false };
  const other = { ...branch, branchId: 'o', participant: 'order' };
  return {
    transactionId: id,
    decision: 'commit',
    branches: [other, { ...branch, ...fields }],
  } as unknown as TransactionSummary;
}

describe('one action for a group', () => {
  it('states how many it affects, and is done to the branches of its participant that allow it', () => {
    const found = [stalled('t1'), stalled('t2', { held: true }), stalled('t3')];
    const action = groupActionOf('retry', STALLED, found, false)!;
    expect(action).toMatchObject({
      kind: 'retry',
      path: 'transactions/actions',
      title: 'Retry 2 branches at payment now?',
      confirm: 'Retry 2',
      isFinal: false,
      targets: [
        { transactionId: 't1', branchId: 'b' },
        { transactionId: 't3', branchId: 'b' },
      ],
    });
    expect(groupActionOf('retry', STALLED, [stalled('t2', { held: true })], false)).toBeUndefined();
  });

  it('says that it is a part, when there are more', () => {
    const many = Array.from({ length: MAX_TARGETS + 1 }, (_, index) => stalled(`t${index}`));
    for (const [found, isCut] of [[many, false] as const, [many.slice(0, 3), true] as const]) {
      const { targets, title, consequences } = groupActionOf('retry', STALLED, found, isCut)!;
      expect(targets!.length).toBe(Math.min(found.length, MAX_TARGETS));
      expect(title).toContain('the oldest');
      expect(consequences.at(-1)).toContain('Repeat this for the others');
    }
  });

  it('asks how branches have ended against the decisions of all, and says what becomes of one that is not known', () => {
    const decided = (id: string, decision: 'abort' | null): TransactionSummary => ({
      ...stalled(id),
      decision,
    });
    const against = (...found: TransactionSummary[]): unknown =>
      groupActionOf('resolve', STALLED, found, false)!.asksEndAgainst;
    expect(against(stalled('t1'), stalled('t2'))).toEqual(['commit']);
    expect(against(stalled('t1'), decided('t2', 'abort'))).toEqual(['commit', 'abort']);
    // Of those that are not acted on, the decision does not matter.
    expect(against(stalled('t1'), { ...decided('t2', 'abort'), branches: [] })).toEqual(['commit']);

    const inDoubt = {
      ...decided('t3', null),
      inDoubt: true,
      branches: [{ ...stalled('t3').branches[1]!, state: 'preparing' as const }],
    };
    for (const kind of ['retry', 'resolve'] as const) {
      const textOf = (...found: TransactionSummary[]): string =>
        groupActionOf(kind, STALLED, found, false)!.consequences.join(' ');
      expect(textOf(stalled('t1'))).toContain(' No decision changes.');
      expect(textOf(stalled('t1'), inDoubt)).toMatch(
        /Where no decision is known.* No other decision changes\./,
      );
    }
  });

  it('says whose transactions may be missing', () => {
    const { consequences } = groupActionOf('retry', STALLED, [stalled('t1')], false, ['shop-1, epoch 6'])!;
    expect(consequences.at(-1)).toContain('Transactions of shop-1, epoch 6 may not be among them');
  });

  it('forgets only reports of transactions that are over', () => {
    const over = { transactionId: 't1', heuristic: 'mixed', endedAt: '2026-01-01T00:00:00Z', branches: [] };
    const open = { ...over, transactionId: 't2', endedAt: null };
    const found = [over, open] as unknown as TransactionSummary[];
    expect(groupActionOf('forget', REPORTED, found, false)!.targets).toEqual([{ transactionId: 't1' }]);
  });

  it('is offered where it may help', () => {
    expect([groupKindsOf(STALLED), groupKindsOf(REPORTED)]).toEqual([['retry', 'resolve'], ['forget']]);
    const silent = { ...alarmOf('DtcParticipantSilent', 'payment'), members: [] };
    expect(groupKindsOf(silent)).toEqual([]);
  });

  it('tells how many are done, and why the others are not', () => {
    const target = { transactionId: 't' };
    const result = {
      done: 148,
      refused: [{ code: 'DTC_ACTION_REFUSED', detail: 'It is tried.', count: 1, targets: [target] }],
      notTried: [target],
    };
    expect(messageOf(result, 'being tried again')).toBe('148 of 150 being tried again.');
    expect(shortfallOf(result)).toEqual([
      '1 refused (DTC_ACTION_REFUSED): It is tried.',
      '1 not tried: the time was over, or nothing could be recorded.',
    ]);
    expect(messageOf({ done: 2, refused: [], notTried: [] }, 'forgotten')).toBe('2 forgotten.');
  });
});
