import { describe, expect, it, vi } from 'vitest';
import { Exports, csvOf } from './export.js';
import type { OwnedSummary } from './members/owned.js';

function transaction(fields: object = {}): OwnedSummary {
  return {
    transactionId: 't.1',
    name: 'sale',
    state: 'COMMITTING',
    stalled: true,
    inDoubt: false,
    decision: 'commit',
    cause: null,
    reason: null,
    heuristic: null,
    startedAt: '2026-01-01T00:00:00.000Z',
    decidedAt: null,
    endedAt: null,
    ageMs: 12,
    branches: [{ participant: 'payment', lastError: 'a "quote", and\nmore', heuristic: null }],
    attributes: { orderId: '4711' },
    owner: null,
    ...fields,
  } as unknown as OwnedSummary;
}

const csv = (fields: object): string =>
  csvOf({ at: '', transactions: [transaction(fields)], cut: false, unanswered: [] }).split('\r\n')[1]!;

describe('An export as CSV', () => {
  it('has a line for each transaction, with its cells quoted where they must be', () => {
    expect(csv({})).toBe(
      't.1,sale,COMMITTING,true,false,commit,,,,2026-01-01T00:00:00.000Z,,,12,payment,' +
        '"payment: a ""quote"", and\nmore",,orderId=4711,',
    );
  });

  it.each(['=HYPERLINK("x")', '+1', '-1', '@SUM(A1)', '\t=1', '  =1', '\r=1'])(
    'is no formula where a text is %j',
    (name) => {
      expect(csv({ name })).toContain(`,"'${name.replaceAll('"', '""')}",COMMITTING`);
    },
  );

  it('says in its last lines what is missing', () => {
    const unanswered = [{ epoch: 3, member: '', problem: 'it is gone' }];
    const lines = csvOf({ at: '', transactions: [transaction()], cut: true, unanswered }).split('\r\n');
    expect(lines.slice(2)).toEqual([
      '# Cut after 1 transactions: narrow the filter.',
      '# The member with epoch 3 is missing: it is gone.',
      '',
    ]);
  });
});

describe('An export', () => {
  it('collects pages up to 5,000 transactions, and says whether it is cut', async () => {
    interface Page {
      readonly transactions: object[];
      readonly nextCursor: string | null;
      readonly unanswered: [];
    }
    const list = vi.fn<(query: { cursor?: string }) => Promise<Page>>(async ({ cursor }) => ({
      transactions: Array.from({ length: 1_000 }, () => transaction()),
      nextCursor: String(Number(cursor ?? 0) + 1),
      unanswered: [],
    }));
    const exports = new Exports({ list } as never);
    const { transactions, cut } = await exports.collect({ order: 'oldest' });
    expect([transactions.length, cut, list.mock.calls.length]).toEqual([5_000, true, 5]);

    list.mockResolvedValueOnce({ transactions: [transaction()], nextCursor: null, unanswered: [] });
    expect(await exports.collect({ order: 'oldest' })).toMatchObject({ cut: false });
  });
});
