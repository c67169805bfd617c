import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaGuardStore } from '../../src/coordinator/index.js';
import { LOG_ID, idOf } from './identity.js';

const VOTED = { state: 'voted', vote: 'commit' } as const;
const OVER = { state: 'rolled-back' } as const;

/** The stores of two replicas over the same records. */
export interface GuardStores {
  readonly store: ReplicaGuardStore;
  readonly other: ReplicaGuardStore;
  /** Reads the tables past the stores, if there are any. @returns the rows. */
  readonly query?: (sql: string) => Promise<unknown[]>;
  /** The beginning of the names of the tables. */
  readonly prefix?: string;
}

/** The requirements for every store of the guard of a host. */
export function guardStoreConformance(kind: string, open: () => GuardStores): void {
  describe(`A store for the guard of a host, in ${kind}`, () => {
    let stores: GuardStores;
    let store: ReplicaGuardStore;
    /** The store of another replica. */
    let other: ReplicaGuardStore;
    let last = 0;
    beforeAll(() => {
      stores = open();
      ({ store, other } = stores);
    });
    afterAll(() => Promise.all([store.close?.(), other.close?.()]));

    const some = (participant = 'stock') => ({
      participant,
      transactionId: idOf('shop', 1, ++last),
      branchId: 'b',
    });

    it('lets one of many writers win, and gives the others the stored record', async () => {
      const place = some();
      const inserts = await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          (index % 2 === 0 ? store : other).insert(
            place,
            { state: 'preparing', by: `${index}` },
            60_000,
            true,
          ),
        ),
      );
      const won = inserts.filter(({ isWritten }) => isWritten);
      expect(won).toHaveLength(1);
      const { stored } = inserts.find(({ isWritten }) => !isWritten) as {
        stored: { version: number; isHeld: boolean };
      };
      expect(stored).toMatchObject({ isHeld: true, record: { state: 'preparing' } });
      const replaced = await Promise.all(
        [store, other, store].map((one) => one.replace(place, stored.version, VOTED, 0)),
      );
      expect(replaced.filter(({ isWritten }) => isWritten)).toHaveLength(1);
      expect(await other.read(place)).toMatchObject({ record: VOTED, isHeld: false });
      expect(await store.read(some())).toBeUndefined();
    });

    it('lists the records that may be open, in order and in pages, but not those that are held', async () => {
      const places = [some('books'), some('books'), some('books'), some('books')];
      const [open, held, over, voted] = places as [
        (typeof places)[0],
        (typeof places)[0],
        (typeof places)[0],
        (typeof places)[0],
      ];
      await store.insert(open, { state: 'failed', message: 'it broke' }, 0, true);
      await store.insert(held, { state: 'preparing' }, 60_000, true);
      await store.insert(over, OVER, 0, true);
      await store.insert(voted, VOTED, 0, true);
      expect(await other.listOpen('books', undefined, 10)).toEqual([open, voted]);
      expect(await other.listOpen('books', undefined, 1)).toEqual([open]);
      expect(await other.listOpen('books', `${open.transactionId}/b`, 10)).toEqual([voted]);
    });

    it('keeps the first token of a start', async () => {
      const run = { logId: LOG_ID, epoch: 3, token: 'third' };
      expect(await store.admitRun(run)).toBe('third');
      expect(await other.admitRun({ ...run, token: 'of a copy' })).toBe('third');
    });

    it('drops the marks and the tokens of epochs that are over, and admits no run of them', async () => {
      const logId = 'logofmarks00';
      const [old, young] = [
        { logId, epoch: 1, token: 'first' },
        { logId, epoch: 3, token: 'third' },
      ];
      await store.admitRun(old);
      await store.admitRun(young);
      await store.raise(logId, [
        { epoch: 1, sequence: 7 },
        { epoch: 3, sequence: 5 },
        { epoch: 0, sequence: 2 },
      ]);
      await store.purge();
      // The mark of whole epochs refuses them, also before anything is dropped.
      expect(await other.admitRun({ ...old, epoch: 2, token: 'second' })).toBe('');
      expect(await other.admitRun(old)).toBe('first');
      await store.purge();
      expect(await other.admitRun({ ...old, token: 'of a copy' })).toBe('');
      expect(await other.admitRun(young)).toBe('third');
      const kept = await stores.query?.(
        `SELECT 'run' AS kind, epoch FROM ${stores.prefix}_runs WHERE log_id = '${logId}'
        UNION ALL SELECT 'mark', epoch FROM ${stores.prefix}_marks WHERE log_id = '${logId}' ORDER BY 1, 2`,
      );
      if (kept === undefined) return;
      expect(kept).toEqual([
        { kind: 'mark', epoch: 0 },
        { kind: 'mark', epoch: 3 },
        { kind: 'run', epoch: 3 },
      ]);
    });

    it('takes no prepare at or below a mark, never lowers one, and drops final records an interval later', async () => {
      const [below, prepared] = [some(), some()];
      const mark = last;
      await store.insert(below, OVER, 0, true);
      await store.insert(prepared, VOTED, 0, true);
      await other.raise(LOG_ID, [{ epoch: 1, sequence: mark }]);
      await other.raise(LOG_ID, [{ epoch: 1, sequence: 1 }]);
      const late = { ...below, branchId: 'late' };
      expect(await store.insert(late, VOTED, 0, true)).toEqual({ isWritten: false, stored: undefined });
      expect(await store.insert({ ...below, branchId: 'rolled-back' }, OVER, 0, false)).toMatchObject({
        isWritten: true,
      });
      expect(await store.purge()).toBe(0);
      expect(await store.read(below)).toBeDefined();
      expect(await store.purge()).toBeGreaterThan(1);
      expect([await store.read(below), await store.read(prepared)]).toMatchObject([
        undefined,
        { record: VOTED },
      ]);
      expect(await other.isOver(late.transactionId)).toBe(true);
      await store.raise(LOG_ID, [{ epoch: 0, sequence: 4 }]);
      expect(
        await store.insert({ ...late, transactionId: idOf('shop', 4, 1) }, VOTED, 0, true),
      ).toMatchObject({
        isWritten: false,
      });
      expect(
        await store.insert({ ...late, transactionId: idOf('shop', 5, 1) }, VOTED, 0, true),
      ).toMatchObject({
        isWritten: true,
      });
    });
  });
}
