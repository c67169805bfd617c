import { describe, expect, it } from 'vitest';
import type { DatabaseInspection, LockWait, PreparedTransaction } from '../../coordinator/index.js';
import { mergePlaces } from './merge.js';

function prepared(id: string, participant: string, ageMs: number | null): PreparedTransaction {
  const branch = { transactionId: id, participant, branchId: 'b' };
  return { id, branch, ageMs, owner: null, database: null, session: null, statements: null };
}

function wait(id: number, held: string | null): LockWait {
  const session = { id, user: null, application: null, state: null };
  return { session, waitMs: id, lock: 'a row', blockedBy: [{ session: null, prepared: held }] };
}

function seen(participant: string, place: string, given: Partial<DatabaseInspection> = {}) {
  const inspection = {
    place,
    title: place,
    prepared: [],
    preparedTotal: 0,
    waits: [],
    waitsTotal: 0,
    notes: [],
    ...given,
  };
  return { participant, inspection };
}

describe('What participants have seen of one database', () => {
  it('is shown once, as the one knows it whose it is, the oldest first and those without an age before', () => {
    const [place, ...others] = mergePlaces([
      seen('order', 'one', {
        prepared: [prepared('a', 'order', 5), prepared('b', 'payment', null), prepared('c', 'x', null)],
        preparedTotal: 3,
      }),
      seen('payment', 'one', {
        prepared: [prepared('a', 'order', null), prepared('b', 'payment', 9), prepared('c', 'x', null)],
        preparedTotal: 3,
        notes: ['more'],
      }),
    ]);
    expect(others).toEqual([]);
    expect(place).toMatchObject({
      title: 'one',
      participants: ['order', 'payment'],
      preparedTotal: 3,
      notes: ['more'],
    });
    expect(place!.prepared.map(({ id, ageMs }) => [id, ageMs])).toEqual([
      ['c', null],
      ['b', 9],
      ['a', 5],
    ]);
  });

  it('has each session that waits once, with the most that is known of the holder, the longest wait first', () => {
    const [place] = mergePlaces([
      seen('order', 'one', { waits: [wait(1, null), wait(2, 'b')], waitsTotal: 700 }),
      seen('payment', 'one', { waits: [wait(1, 'a'), wait(2, null)], waitsTotal: 2 }),
    ]);
    expect(place!.waits).toEqual([wait(2, 'b'), wait(1, 'a')]);
    expect(place!.waitsTotal).toBe(700);
  });

  it('is kept apart from that of another database', () => {
    const places = mergePlaces([seen('order', 'one'), seen('payment', 'two')]);
    expect(places.map(({ participants }) => participants)).toEqual([['order'], ['payment']]);
  });
});
