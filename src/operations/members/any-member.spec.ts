import { describe, expect, it, vi } from 'vitest';
import type { TransactionOwner, TransactionView } from '../../coordinator/index.js';
import { AnyMember } from './any-member.js';
import type { Asked } from './member-client.js';

const ID = 'shop.log.3.1';
const ORDER = { transactionId: ID, by: 'alice', reason: 'the bank is back' };
const OTHER = { epoch: 8, member: 'other', address: 'http://other', self: false, state: 'alive' };
const THIRD = { ...OTHER, epoch: 9, member: 'third', address: 'http://third' };
const NOT_FOUND = {
  kind: 'refused',
  status: 404,
  code: 'DTC_TRANSACTION_NOT_FOUND',
  detail: 'It is not known.',
} as const;

function viewOf(heuristic: TransactionView['heuristic'] = null): TransactionView {
  return { transactionId: ID, heuristic, endedAt: '2026-01-01T00:00:00Z' } as TransactionView;
}

interface Shop {
  readonly owner: TransactionOwner;
  /** The transactions in the memory of this member. */
  readonly here?: TransactionView;
  /** The answers of the others, by the epoch and the kind of the request. */
  readonly others?: Readonly<Record<string, Asked<unknown>>>;
}

function memberOf({ owner, here, others = {} }: Shop) {
  const actOn = vi.fn<() => Promise<TransactionView>>(async () => viewOf());
  const asked: string[] = [];
  const client = {
    ask: async ({ epoch }: { epoch: number }, { kind }: { kind: string }) => {
      asked.push(`${epoch} ${kind}`);
      return others[`${epoch} ${kind}`] ?? NOT_FOUND;
    },
  };
  const members = {
    isShared: true,
    own: { epoch: 7, member: 'own' },
    ownerOf: async () => owner,
    view: () => ({ members: [{ ...OTHER, epoch: 7, self: true }, OTHER, THIRD] }),
  };
  const own = { view: () => here, actOn };
  const anyMember = new AnyMember(own as never, client as never, members as never, {} as never, {} as never);
  return { anyMember, actOn, asked };
}

const OF_OTHER = { kind: 'member', epoch: 8, member: 'other', address: 'http://other' } as const;
const RETRY = { kind: 'retry', branchId: 'b', ...ORDER } as const;
const FORGET = { kind: 'forget', ...ORDER } as const;

describe('An order for a transaction', () => {
  it('is carried out by its owner alone, although this member still has the transaction in its memory', async () => {
    const others = { '8 retry': { kind: 'answered', answer: viewOf() } } as const;
    const { anyMember, actOn, asked } = memberOf({ owner: OF_OTHER, here: viewOf(), others });

    expect(await anyMember.actOn(RETRY)).toMatchObject({ owner: { epoch: 8, member: 'other' } });
    expect([actOn.mock.calls.length, asked]).toEqual([0, ['8 retry']]);
  });

  it('is carried out here when this member owns it', async () => {
    const { anyMember, actOn, asked } = memberOf({ owner: { kind: 'self' }, here: viewOf() });

    expect(await anyMember.actOn(RETRY)).toMatchObject({ owner: { epoch: 7, member: 'own' } });
    expect([actOn.mock.calls.length, asked]).toEqual([1, []]);
  });

  it.each(['none', 'unknown'] as const)(
    'is not carried out at all while its owner is %s, and says so',
    async (kind) => {
      const { anyMember, actOn, asked } = memberOf({ owner: { kind }, here: viewOf() });

      await expect(anyMember.actOn(RETRY)).rejects.toMatchObject({
        code: 'DTC_MEMBER_UNREACHABLE',
        mayBeDone: false,
      });
      expect([actOn.mock.calls.length, asked]).toEqual([0, []]);
    },
  );
});

describe('An order to forget the reports of a transaction', () => {
  const REPORTED = {
    kind: 'answered',
    answer: { transaction: viewOf('commit'), outcome: { transactionId: ID, status: 'aborted' } },
  } as const;
  const DONE = { kind: 'answered', answer: viewOf() } as const;

  it('is carried out by its owner, and by each member that has found one of its branches late', async () => {
    const others = { '8 forget': DONE, '9 find': REPORTED, '9 forget': DONE };
    const { anyMember, actOn, asked } = memberOf({ owner: OF_OTHER, here: viewOf('commit'), others });

    expect(await anyMember.actOn(FORGET)).toMatchObject({ owner: { epoch: 8, member: 'other' } });
    expect(actOn).toHaveBeenCalledOnce();
    expect(asked).toEqual(['8 forget', '9 find', '9 forget']);
  });

  const FORGET_REPORT = { ...FORGET, kind: 'forget-report', branchId: 'b' } as const;
  const reportsOf = (...branchIds: readonly string[]): TransactionView => ({
    ...viewOf('commit'),
    branches: branchIds.map(
      (branchId) => ({ branchId, heuristic: { kind: 'commit', reason: 'r' } }) as never,
    ),
  });

  it('is given no member a second time because another report is left there', async () => {
    const others = { '8 forget-report': { kind: 'answered', answer: reportsOf('b', 'c') } } as const;
    const { anyMember, actOn, asked } = memberOf({ owner: OF_OTHER, others });
    expect(await anyMember.actOn(FORGET_REPORT)).toMatchObject({ owner: { epoch: 8 } });
    expect(asked).toEqual(['8 forget-report', '9 find']);

    const own = memberOf({ owner: { kind: 'self' }, here: reportsOf('b', 'c') });
    expect(await own.anyMember.actOn(FORGET_REPORT)).toMatchObject({ owner: { epoch: 7 } });
    expect([own.actOn.mock.calls.length, own.asked]).toEqual([1, ['8 find', '9 find']]);

    // The owner has forgotten it, and this member alone has it.
    const here = memberOf({ owner: OF_OTHER, here: reportsOf('b', 'c') });
    expect(await here.anyMember.actOn(FORGET_REPORT)).toMatchObject({ owner: { epoch: 7 } });
    expect([here.actOn.mock.calls.length, here.asked]).toEqual([1, ['8 forget-report', '9 find']]);
    expect(actOn).not.toHaveBeenCalled();
  });

  it('is given only to members where that branch has reported something', async () => {
    const found = (transaction: TransactionView) =>
      ({
        kind: 'answered',
        answer: { transaction, outcome: { transactionId: ID, status: 'aborted' } },
      }) as const;
    const others = { '8 forget-report': DONE, '9 find': found(reportsOf('c')) };
    const { anyMember, actOn, asked } = memberOf({ owner: OF_OTHER, here: reportsOf('c'), others });
    await anyMember.actOn(FORGET_REPORT);
    expect([actOn.mock.calls.length, asked]).toEqual([0, ['8 forget-report', '9 find']]);
    const both = memberOf({
      owner: OF_OTHER,
      here: reportsOf('b'),
      others: { ...others, '9 find': found(reportsOf('b')), '9 forget-report': DONE },
    });
    await both.anyMember.actOn(FORGET_REPORT);
    expect([both.actOn.mock.calls.length, both.asked]).toEqual([
      1,
      ['8 forget-report', '9 find', '9 forget-report'],
    ]);
  });

  it('is carried out by the member that alone has them', async () => {
    const others = { '9 find': REPORTED, '9 forget': DONE };
    const { anyMember, asked } = memberOf({ owner: OF_OTHER, others });

    expect(await anyMember.actOn(FORGET)).toMatchObject({ owner: { epoch: 9, member: 'third' } });
    expect(asked).toEqual(['8 forget', '9 find', '9 forget']);
  });

  it('is refused as its owner does when no member has any', async () => {
    const { anyMember, actOn } = memberOf({ owner: OF_OTHER, here: viewOf() });

    // The owner does not know it, and this member does: it says itself that there is nothing to forget.
    actOn.mockRejectedValue(Object.assign(new Error('holds no report'), { code: 'DTC_ACTION_REFUSED' }));
    await expect(anyMember.actOn(FORGET)).rejects.toMatchObject({ code: 'DTC_ACTION_REFUSED' });
  });
});
