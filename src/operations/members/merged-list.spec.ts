import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TransactionEntry } from '../../coordinator/index.js';
import { type ListPart, merge, placesIn } from './merged-list.js';

const SEED = 20_261_129;

interface Began {
  readonly id: string;
  readonly at: number;
}

function entryOf({ id, at }: Began, sequence: number): TransactionEntry {
  const transaction = { transactionId: id, startedAt: new Date(at).toISOString() };
  return { transaction, cursor: String(sequence) } as unknown as TransactionEntry;
}

/** The answer of a member: its transactions after a place, the youngest first. */
function partOf(epoch: number, all: readonly Began[], after: string | undefined, limit: number): ListPart {
  const entries = all.map((began, index) => entryOf(began, index + 1)).toReversed();
  const rest = after === undefined ? entries : entries.filter(({ cursor }) => Number(cursor) < Number(after));
  return {
    owner: { epoch, member: '' },
    after,
    entries: { entries: rest.slice(0, limit), hasMore: rest.length > limit },
  };
}

/** Reads page after page to the end. */
function readAll(members: readonly (readonly Began[])[], limit: number): string[][] {
  const pages: string[][] = [];
  let cursor: string | null = null;
  do {
    const places = cursor === null ? undefined : placesIn(cursor);
    const parts = members.flatMap((all, index) => {
      if (places !== undefined && !places.has(index + 1)) return [];
      return [partOf(index + 1, all, places?.get(index + 1), limit)];
    });
    const page = merge(parts, { limit, order: 'youngest' });
    pages.push(page.transactions.map(({ transactionId }) => transactionId));
    cursor = page.nextCursor;
    if (pages.length > 500) throw new Error('the list does not end');
  } while (cursor !== null);
  return pages;
}

describe('A list of several members', () => {
  it('has each transaction once, in the order of each member, and ends', () => {
    const clocks = fc.array(fc.array(fc.nat({ max: 50 }), { maxLength: 12 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(clocks, fc.integer({ min: 1, max: 5 }), (starts, limit) => {
        // Clocks that are set back: a member's own order is that of its numbers.
        const members = starts.map((times, member) =>
          times.map((at, index) => ({ id: `${member}.${index}`, at })),
        );
        const pages = readAll(members, limit);
        const listed = pages.flat();

        expect(listed.toSorted()).toEqual(
          members
            .flat()
            .map(({ id }) => id)
            .toSorted(),
        );
        for (const [member, all] of members.entries()) {
          const own = listed.filter((id) => id.startsWith(`${member}.`));
          expect(own).toEqual(all.map(({ id }) => id).toReversed());
        }
        for (const page of pages.slice(0, -1)) expect(page.length).toBe(limit);
      }),
      { seed: SEED, numRuns: 300 },
    );
  });

  it('has a transaction that two members know once, and passes over none', () => {
    const shared = [1, 2, 3, 4, 5, 6].map((at) => ({ id: `both.${at}`, at }));
    const own = [1, 3, 5, 7, 9].map((at) => ({ id: `own.${at}`, at }));
    const listed = readAll([shared, shared, own], 2).flat();

    expect([...new Set(listed)].toSorted()).toEqual([...shared, ...own].map(({ id }) => id).toSorted());
  });

  it('goes on at a member that has not answered, and ends when no other has more', () => {
    const silent: ListPart = { owner: { epoch: 2, member: '' }, after: '7', entries: undefined };
    const one = partOf(
      1,
      [
        { id: 'a', at: 1 },
        { id: 'b', at: 2 },
      ],
      undefined,
      1,
    );

    expect(merge([one, silent], { limit: 1, order: 'youngest' })).toMatchObject({
      transactions: [{ transactionId: 'b' }],
      nextCursor: '1-2_2-7',
    });
    const rest = partOf(1, [{ id: 'a', at: 1 }], undefined, 1);
    expect(merge([rest, silent], { limit: 1, order: 'youngest' }).nextCursor).toBeNull();
  });
});
