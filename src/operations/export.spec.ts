import { describe, expect, it, vi } from 'vitest';
import { Exports, csvOf } from './export.js';
import type { OwnedSummary } from './members/owned.js';
import { problemOf } from './problem/problem.js';

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

  it.each([
    ['a;=1+1', `"a;'=1+1"`],
    ['a; =1+1', `"a;' =1+1"`],
    ['a;"=1+1;b', `"a;'""=1+1;b"`],
    ['a\t@SUM(A1)', `"a\t'@SUM(A1)"`],
    ['a\n+1', `"a\n'+1"`],
    ['a;b', '"a;b"'],
    ['1 - 1 = 0', '1 - 1 = 0'],
  ])('has no formula where a program takes a part of %j for a cell', (name, cell) => {
    expect(csv({ name })).toContain(`t.1,${cell},COMMITTING`);
  });

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
  interface Page {
    readonly transactions: OwnedSummary[];
    readonly nextCursor: string | null;
    readonly unanswered: [];
  }

  it('collects pages up to 5,000 transactions, and says whether it is cut', async () => {
    const list = vi.fn<(query: { cursor?: string; limit: number }) => Promise<Page>>(
      async ({ cursor = '0', limit }) => ({
        transactions: Array.from({ length: limit }, (_, index) =>
          transaction({ transactionId: `${cursor}.${index}` }),
        ),
        nextCursor: String(Number(cursor) + 1),
        unanswered: [],
      }),
    );
    const exports = new Exports({ list } as never);
    const { transactions, cut } = await exports.collect({ order: 'oldest' });
    expect([transactions.length, cut, list.mock.calls.length]).toEqual([5_000, true, 20]);

    list.mockResolvedValueOnce({ transactions: [transaction()], nextCursor: null, unanswered: [] });
    expect(await exports.collect({ order: 'oldest' })).toMatchObject({ cut: false });
  });

  it('has each transaction once, also when two members have it', async () => {
    const list = vi.fn<() => Promise<Page>>();
    const page = (ids: string[], nextCursor: string | null): Page => ({
      transactions: ids.map((transactionId) => transaction({ transactionId })),
      nextCursor,
      unanswered: [],
    });
    list.mockResolvedValueOnce(page(['a', 'b'], '1-2')).mockResolvedValueOnce(page(['b', 'c'], null));
    const { transactions } = await new Exports({ list } as never).collect({ order: 'oldest' });
    expect(transactions.map(({ transactionId }) => transactionId)).toEqual(['a', 'b', 'c']);
  });

  it('is refused while two are under way, and may be asked for later', async () => {
    const open = Promise.withResolvers<Page>();
    const list = vi.fn<() => Promise<Page>>(() => open.promise);
    const exports = new Exports({ list } as never);
    const running = [exports.collect({ order: 'oldest' }), exports.collect({ order: 'oldest' })];
    const refused = await exports.collect({ order: 'oldest' }).catch((error: unknown) => error);
    expect(problemOf(refused)).toMatchObject({
      status: 503,
      code: 'DTC_TOO_MANY_EXPORTS',
      retryAfterSeconds: 5,
    });
    expect(list).toHaveBeenCalledTimes(2);
    open.reject(new Error('a defect'));
    expect(await Promise.allSettled(running)).toMatchObject([{ status: 'rejected' }, { status: 'rejected' }]);
    // One that has failed holds no place.
    list.mockResolvedValue({ transactions: [], nextCursor: null, unanswered: [] });
    expect(await exports.collect({ order: 'oldest' })).toMatchObject({ cut: false });
  });

  it('lets other work go on between two pages', async () => {
    let wasOther = false;
    const list = vi.fn<() => Promise<Page>>();
    list.mockImplementationOnce(async () => {
      setImmediate(() => (wasOther = true));
      return { transactions: [transaction()], nextCursor: '1', unanswered: [] };
    });
    list.mockImplementationOnce(async () => {
      expect(wasOther).toBe(true);
      return { transactions: [], nextCursor: null, unanswered: [] };
    });
    await new Exports({ list } as never).collect({ order: 'oldest' });
    expect(list).toHaveBeenCalledTimes(2);
  });
});
