import { describe, expect, it } from 'vitest';
import { alarmOf } from '../../../src/coordinator/observation/alarms/alarm.js';
import type { BranchView, OwnedAlarm, TransactionSummary } from '../api/views.js';
import { actionsOfBranch } from './transaction-actions.js';
import {
  MAX_TARGETS,
  groupActionOf,
  groupKindsOf,
  leftOutOf,
  messageOf,
  shortfallOf,
} from './group-actions.js';

const STALLED: OwnedAlarm = {
  ...alarmOf('DtcStalled', 'payment', {
    id: 'stalled.payment.1',
    unit: 'transactions',
    cause: 'ECONNREFUSED',
  }),
  members: [],
};
const REPORTED: OwnedAlarm = {
  ...alarmOf('DtcHeuristicReportOpen', 'payment', { id: 'heuristic.payment.1', unit: 'transactions' }),
  members: [],
};

function stalled(id: string, fields: Partial<BranchView> = {}): TransactionSummary {
  const branch = {
    branchId: 'b',
    participant: 'payment',
    state: 'committing',
    stalled: true,
    held: false,
    alarms: [STALLED.id],
  };
  const other = { ...branch, branchId: 'o', participant: 'order', alarms: ['stalled.order'] };
  return {
    transactionId: id,
    decision: 'commit',
    branches: [other, { ...branch, ...fields }],
  } as unknown as TransactionSummary;
}

function withoutAlarms(branch: BranchView): BranchView {
  const copy: { alarms?: unknown } & BranchView = { ...branch };
  delete copy.alarms;
  return copy;
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
      alarm: STALLED.id,
      isFinal: false,
      targets: [
        { transactionId: 't1', branchId: 'b' },
        { transactionId: 't3', branchId: 'b' },
      ],
    });
    expect(groupActionOf('retry', STALLED, [stalled('t2', { held: true })], false)).toBeUndefined();
  });

  it('leaves out a branch of the same participant with another cause', () => {
    const found = [stalled('t1'), stalled('t2', { alarms: ['stalled.payment.other'] }), stalled('t3')];
    for (const kind of ['retry', 'resolve'] as const) {
      const targets = groupActionOf(kind, STALLED, found, false)!.targets!;
      expect(targets.map(({ transactionId }) => transactionId)).toEqual(['t1', 't3']);
    }
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

  it('says how many are left out because their member has an earlier version', () => {
    const earlier = (id: string): TransactionSummary => {
      const { branches, ...rest } = stalled(id);
      return { ...rest, branches: branches.map((branch) => withoutAlarms(branch)) };
    };
    // A branch that no alarm counts has none either, beside one that this alarm counts.
    const present = stalled('t2');
    const sound = { ...present, branches: [earlier('t2').branches[0]!, present.branches[1]!] };
    const { targets, consequences } = groupActionOf('retry', STALLED, [earlier('t1'), sound], false)!;
    expect(targets).toEqual([{ transactionId: 't2', branchId: 'b' }]);
    const said = '1 transaction of members of an earlier version is left out';
    expect(consequences.filter((line) => line.startsWith(said))).toHaveLength(1);
    expect(leftOutOf([earlier('t1'), earlier('t3')])).toMatch(/^2 transactions of .* are left out/);
    expect(leftOutOf([sound])).toBe('');
    expect(groupActionOf('retry', STALLED, [earlier('t1')], false)).toBeUndefined();
  });

  it('says whose transactions may be missing', () => {
    const { consequences } = groupActionOf('retry', STALLED, [stalled('t1')], false, ['shop-1, epoch 6'])!;
    expect(consequences.at(-1)).toContain('Transactions of shop-1, epoch 6 may not be among them');
  });

  it('forgets the reports of its participant with its cause alone, of transactions that are over', () => {
    const report = (branchId: string, alarm: string): object => ({
      branchId,
      state: 'heuristic',
      alarms: [alarm],
    });
    const over = {
      transactionId: 't1',
      heuristic: 'mixed',
      endedAt: '2026-01-01T00:00:00Z',
      branches: [report('b', REPORTED.id), report('o', 'heuristic.order.1')],
    };
    const open = { ...over, transactionId: 't2', endedAt: null };
    const found = [over, open] as unknown as TransactionSummary[];
    const action = groupActionOf('forget', REPORTED, found, false)!;
    expect(action.targets).toEqual([{ transactionId: 't1', branchId: 'b' }]);
    expect([action.title, action.alarm]).toEqual(['Forget the reports of 1 branch at payment?', REPORTED.id]);
    expect(actionsOfBranch(found[0]!, found[0]!.branches[0]!).map(({ path }) => path)).toEqual([
      'transactions/t1/branches/b/forget',
    ]);
    const alone = { ...found[0]!, branches: [found[0]!.branches[0]!] };
    expect(actionsOfBranch(alone, alone.branches[0]!)).toEqual([]);
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
