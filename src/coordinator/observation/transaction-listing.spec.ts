import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createTestCoordinator } from '../testing/index.js';
import { entriesOf } from './transaction-listing.js';

const SEED = 20_261_129;

describe('A page of transactions', () => {
  afterEach(() => void vi.restoreAllMocks());

  async function withTransactions(count: number) {
    const coordinator = createTestCoordinator({ retainFinished: count });
    for (let index = 0; index < count; index++)
      await coordinator.transactions.run({ name: index % 3 === 0 ? 'third' : 'other', branches: [] });
    return coordinator;
  }

  it('follows the one before, in both orders, whatever its size and the filter', async () => {
    const { transactions } = await withTransactions(200);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 70 }),
        fc.constantFrom('oldest' as const, 'youngest' as const),
        fc.constantFrom({}, { name: 'third' }),
        (limit, order, filter) => {
          const all = transactions.list({ ...filter, order, limit: 1_000 });
          const found = [];
          let cursor: string | null = null;
          do {
            const page = transactions.page({ ...filter, order, limit, ...(cursor !== null && { cursor }) });
            found.push(...page.transactions);
            cursor = page.nextCursor;
          } while (cursor !== null);
          expect(found).toEqual(all);
          const starts = all.map(({ transactionId }) => Number(transactionId.split('.').at(-1)));
          expect(starts).toEqual(starts.toSorted((a, b) => (order === 'oldest' ? a - b : b - a)));
        },
      ),
      { seed: SEED, numRuns: 40 },
    );
  });

  it('puts little more in order than it shows, however many there are', async () => {
    const { runtime } = await withTransactions(2_000);
    const sort = vi.spyOn(Array.prototype, 'sort');
    for (const order of ['oldest', 'youngest'] as const) {
      sort.mockClear();
      expect(entriesOf(runtime.registry, { order, limit: 10 }, 0).entries).toHaveLength(10);
      expect(Math.max(...sort.mock.contexts.map((sorted) => (sorted as unknown[]).length))).toBeLessThan(23);
    }
  });
});
