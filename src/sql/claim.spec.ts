import { describe, expect, it, vi } from 'vitest';
import { LOG_ID, OTHER_LOG_ID, idOf } from '../../test/support/identity.js';
import { type CoordinatorRun, type IsOwnRun, idPrefixOf } from '../coordinator/index.js';
import { type KnownRun, keyOfRun, letIn } from './claim.js';

const RUN: CoordinatorRun = { name: 'shop', logId: LOG_ID, epoch: 3, token: 'third', durable: true };

function storeWith({ latest, prepared = [] }: { latest?: KnownRun; prepared?: readonly string[] }) {
  return {
    latest: () => Promise.resolve(latest),
    prepared: () => Promise.resolve(prepared),
    register: vi.fn<() => Promise<void>>(() => Promise.resolve()),
  };
}

const isSecond: IsOwnRun = (epoch, token) => Promise.resolve(epoch === 2 && token === 'second');
const knowsNone: IsOwnRun = () => Promise.resolve(false);
const gid = (epoch: number, logId = LOG_ID): string => `${idOf('shop', epoch, 1, logId)}/stock/stock`;

describe('A run that a database accepts', () => {
  it('is stored, if it is the first of its log, or a later run whose log knows the latest', async () => {
    for (const latest of [undefined, { epoch: 2, token: 'second' }]) {
      const store = storeWith({ ...(latest && { latest }), prepared: [gid(1), gid(2)] });

      expect(await letIn(RUN, isSecond, store)).toBeUndefined();
      expect(store.register).toHaveBeenCalledOnce();
    }
  });

  it('is not stored again when it is already accepted', async () => {
    const store = storeWith({ latest: RUN, prepared: [gid(3)] });

    expect(await letIn(RUN, undefined, store)).toBeUndefined();
    expect(store.register).not.toHaveBeenCalled();
  });

  it('ignores branches that no coordinator has prepared', async () => {
    expect(await letIn(RUN, undefined, storeWith({ prepared: ['shop.x/stock/stock'] }))).toBeUndefined();
  });
});

describe('A run of a shared log', () => {
  const MEMBER: CoordinatorRun = { ...RUN, isShared: true };
  const fourth = { epoch: 4, token: 'fourth' };
  const knowsFourth: IsOwnRun = (epoch, token) => Promise.resolve(epoch === 4 && token === 'fourth');

  it('is let in after a later one that its log knows, which stays the latest', async () => {
    const store = storeWith({ latest: fourth, prepared: [gid(3), gid(4)] });

    expect(await letIn(MEMBER, knowsFourth, store)).toBeUndefined();
    expect(store.register).not.toHaveBeenCalled();
  });

  it.each([
    ['the later one is of a copy', { latest: { ...fourth, token: 'of a copy' } }, 4],
    ['a branch is prepared of a start that was never let in', { latest: fourth, prepared: [gid(5)] }, 5],
    ['a branch of its own start is prepared, and it was never let in', { prepared: [gid(3)] }, 3],
  ])('has a copied log: %s', async (_what, given, epoch) => {
    const store = storeWith(given);

    expect(await letIn(MEMBER, knowsFourth, store)).toMatchObject({ kind: 'copied-log', epoch });
    expect(store.register).not.toHaveBeenCalled();
  });

  it('is let in although a later one was, and has prepared a branch, between the two reads', async () => {
    const state: { latest?: KnownRun; prepared: string[] } = { prepared: [] };
    const read = <T>(what: () => T): Promise<T> => {
      const seen = what();
      Object.assign(state, { latest: fourth, prepared: [gid(4)] });
      return Promise.resolve(seen);
    };
    const store = {
      latest: () => read(() => state.latest),
      prepared: () => read(() => state.prepared),
      register: vi.fn<() => Promise<void>>(() => Promise.resolve()),
    };

    expect(await letIn(MEMBER, knowsFourth, store)).toBeUndefined();
  });

  it('is not let in together with a run of a copy that comes at the same moment', async () => {
    const store = storeWith({});
    store.register.mockImplementation(() => {
      store.latest = () => Promise.resolve({ epoch: 3, token: 'of a copy' });
      return Promise.resolve();
    });

    expect(await letIn(MEMBER, knowsFourth, store)).toEqual({ kind: 'copied-log', epoch: 3 });
  });
});

describe('A run that is refused', () => {
  it.each([
    ['a start before the latest', { epoch: 4, token: 'fourth' }],
    ['the same start of a copy', { epoch: 3, token: 'of the copy' }],
    ['a start whose log does not know the latest', { epoch: 2, token: 'of the copy' }],
  ])('has a copied log: %s', async (_what, latest) => {
    const store = storeWith({ latest });

    expect(await letIn(RUN, knowsNone, store)).toEqual({ kind: 'copied-log', epoch: latest.epoch });
    expect(store.register).not.toHaveBeenCalled();
  });

  it.each([3, 4])('has a copied log: start %i has prepared a branch, and is not this run', async (epoch) => {
    const store = storeWith({ prepared: [gid(1), gid(epoch)] });

    expect(await letIn(RUN, undefined, store)).toEqual({ kind: 'copied-log', epoch, gid: gid(epoch) });
    expect(store.register).not.toHaveBeenCalled();
  });

  it('has another log than the prepared branches: their number and the oldest are reported', async () => {
    const store = storeWith({ prepared: [gid(1), gid(9, OTHER_LOG_ID), gid(8, OTHER_LOG_ID)] });

    expect(await letIn(RUN, undefined, store)).toEqual({
      kind: 'other-log',
      branches: 2,
      oldest: gid(9, OTHER_LOG_ID),
    });
    expect(store.register).not.toHaveBeenCalled();
  });
});

it('The key of a run differs from that of the same start of a copy', () => {
  expect(keyOfRun(RUN)).toBe(`${idPrefixOf(RUN)}third`);
  expect(keyOfRun({ ...RUN, token: 'of the copy' })).not.toBe(keyOfRun(RUN));
});
