import { describe, expect, it } from 'vitest';
import {
  BranchConflictError,
  CoordinatorError,
  InvalidRequestError,
  OverloadedError,
  ParticipantStalledError,
  type TransactionRequest,
  TooManyBranchesError,
  UnknownParticipantError,
  branch,
} from '../../src/coordinator/index.js';
import { ScriptedParticipant, createTestCoordinator, settled } from '../../src/coordinator/testing/index.js';

const many = (count: number) => Array.from({ length: count }, (_, index) => branch('stock', index));

describe('The signal', () => {
  it.each([null, {}, 'stop'])('%j is refused before anything starts', async (signal) => {
    const { transactions, runtime } = createTestCoordinator({
      participants: { stock: new ScriptedParticipant() },
    });
    const given = { branches: [branch('stock', 1)], signal: signal as unknown as AbortSignal };
    await expect(transactions.run(given)).rejects.toThrow(InvalidRequestError);
    expect(() => transactions.begin(given)).toThrow(InvalidRequestError);
    expect(runtime.registry.inFlight).toBe(0);
  });
});

/** Signals that look like one until they are used. */
const BAD_SIGNALS: Record<string, () => object> = {
  'that refuses a listener': () => ({
    aborted: false,
    addEventListener() {
      throw new Error('not me');
    },
    removeEventListener() {},
  }),
  'that does not say whether it is aborted': () => ({
    get aborted(): never {
      throw new Error('not me');
    },
    addEventListener() {},
    removeEventListener() {},
  }),
  'behind a Proxy that was revoked': () => {
    const { proxy, revoke } = Proxy.revocable(new AbortController().signal, {});
    revoke();
    return proxy;
  },
};

describe('A signal', () => {
  it.each(Object.entries(BAD_SIGNALS))('%s is refused before anything starts', async (_, make) => {
    const stock = new ScriptedParticipant();
    const { transactions } = createTestCoordinator({ participants: { stock } });
    const given = { branches: [branch('stock', 1)], signal: make() as AbortSignal };

    await expect(transactions.run(given)).rejects.toThrow(InvalidRequestError);
    expect(() => transactions.begin(given)).toThrow(InvalidRequestError);
    expect([stock.calls, transactions.list()]).toEqual([[], []]);
  });

  it('that calls back while it is being listened to cancels the transaction, and no branch prepares', async () => {
    const stock = new ScriptedParticipant();
    const { transactions } = createTestCoordinator({ participants: { stock } });
    const signal = {
      aborted: false,
      get reason(): never {
        throw new Error('no reason');
      },
      addEventListener: (_: string, listener: () => void) => listener(),
      removeEventListener() {
        throw new Error('not now');
      },
    } as unknown as AbortSignal;

    const outcome = await transactions.run({ branches: [branch('stock', 1)], signal });
    expect(outcome).toMatchObject({ status: 'aborted', cause: 'cancelled' });
    expect(outcome).toMatchObject({ reason: 'the caller cancelled: no reason' });
    expect(stock.count('prepare')).toBe(0);
  });
});

/** Lists of branches of which one cannot be read. */
const BAD_BRANCHES: Record<string, () => readonly unknown[]> = {
  'with a hole': () => [branch('stock', 1), undefined],
  'behind a Proxy that was revoked': () => {
    const { proxy, revoke } = Proxy.revocable<unknown[]>([], {});
    revoke();
    return proxy;
  },
  'whose length is none': () => new Proxy<unknown[]>([], { get: () => NaN }),
  'with a payload that cannot be read': () => [
    branch('stock', 1),
    {
      participant: 'stock',
      get payload(): never {
        throw new Error('not this');
      },
    },
  ],
  'with an id that only looks like one': () => [
    { participant: 'stock', payload: 1, branchId: { toString: () => 'item-1' } },
  ],
  'for a participant that is a symbol': () => [{ participant: Symbol('stock'), payload: 1 }],
};

describe('A list of branches', () => {
  it.each(Object.entries(BAD_BRANCHES))('%s is refused before anything starts', async (_, make) => {
    const stock = new ScriptedParticipant();
    const { transactions, runtime } = createTestCoordinator({ participants: { stock } });

    const refused = transactions.run({ branches: make() as TransactionRequest['branches'] });
    await expect(refused).rejects.toThrow(CoordinatorError);
    expect([stock.calls, transactions.list(), runtime.registry.inFlight]).toEqual([[], [], 0]);
  });

  it('with a payload that cannot be read leaves a running transaction unchanged', async () => {
    const stock = new ScriptedParticipant();
    const { transactions } = createTestCoordinator({ participants: { stock } });
    const transaction = transactions.begin();
    transaction.enlist(branch('stock', 1));
    const [, unreadable] = BAD_BRANCHES['with a payload that cannot be read']!();

    expect(() => transaction.enlist(unreadable as never)).toThrow(InvalidRequestError);
    expect(await transaction.commit()).toMatchObject({ status: 'committed' });
  });
});

describe('The number of branches', () => {
  it.each([0, 1, 2, 9, 10])('%i branches commit', async (count) => {
    const stock = new ScriptedParticipant();
    const { transactions } = createTestCoordinator({ participants: { stock } });

    expect(await transactions.run({ branches: many(count) })).toMatchObject({ status: 'committed' });
    expect(stock.count('commit')).toBe(count);
  });

  it('11 branches are refused before anything starts, whichever way they come', async () => {
    const stock = new ScriptedParticipant();
    const { transactions } = createTestCoordinator({ participants: { stock } });

    await expect(transactions.run({ branches: many(11) })).rejects.toMatchObject({
      code: 'DTC_TOO_MANY_BRANCHES',
      branches: 11,
      maxBranches: 10,
    });
    expect(stock.calls).toEqual([]);
    expect(transactions.list()).toEqual([]);

    const transaction = transactions.begin();
    for (const one of many(10)) transaction.enlist(one);
    expect(() => transaction.enlist(branch('stock', 11))).toThrow(TooManyBranchesError);
    expect(await transaction.commit()).toMatchObject({ status: 'committed' });
    expect(stock.count('commit')).toBe(10);
  });

  it('as many as a set of branches can hold commit and abort like any other', async () => {
    const stock = new ScriptedParticipant();
    const last = new ScriptedParticipant();
    const { transactions } = createTestCoordinator({ participants: { stock, last }, maxBranches: 30 });
    const branches = [...many(29), branch('last', 1)];

    expect(await transactions.run({ branches })).toMatchObject({ status: 'committed' });
    expect([stock.count('commit'), last.count('commit')]).toEqual([29, 1]);

    last.script = { prepare: 'no' };
    expect(await transactions.run({ branches })).toMatchObject({ status: 'aborted', participant: 'last' });
    await settled();
    expect([stock.count('rollback'), last.count('rollback')]).toEqual([29, 0]);
    expect(transactions.list({ state: 'ABORTED' })).toHaveLength(1);
  });
});

describe('The ids of branches', () => {
  it('a participant named twice has two branches, with ids of their own', async () => {
    const stock = new ScriptedParticipant();
    const { transactions } = createTestCoordinator({ participants: { stock } });
    const { transactionId } = await transactions.run({
      branches: [branch('stock', 'a'), branch('stock', 'b'), branch('stock', 'c')],
    });

    const ids = ['stock', 'stock.2', 'stock.3'];
    expect(transactions.find(transactionId)!.branches.map(({ branchId }) => branchId)).toEqual(ids);
    expect(ids.map((id) => stock.effectOn(transactionId, id))).toEqual(ids.map(() => 'committed'));
  });

  it('an id that the caller chose is not given to another branch', async () => {
    const stock = new ScriptedParticipant();
    const { transactions } = createTestCoordinator({ participants: { stock } });
    const transaction = transactions.begin();

    expect(transaction.enlist(branch('stock', 1, { branchId: 'stock.2' }))).toBe('stock.2');
    expect(transaction.enlist(branch('stock', 2))).toBe('stock');
    expect(transaction.enlist(branch('stock', 3))).toBe('stock.3');
  });

  it('the same id twice is one branch, and for another participant a conflict', async () => {
    const stock = new ScriptedParticipant();
    const payment = new ScriptedParticipant();
    const { transactions } = createTestCoordinator({ participants: { stock, payment } });
    const one = branch('stock', 1, { branchId: 'x' });

    expect(await transactions.run({ branches: [one, one] })).toMatchObject({ status: 'committed' });
    expect(stock.count('prepare')).toBe(1);
    await expect(
      transactions.run({ branches: [one, branch('payment', 1, { branchId: 'x' })] }),
    ).rejects.toThrow(BranchConflictError);
    expect(stock.count('prepare')).toBe(1);
  });

  it.each(['', ' ', 'a b', 'a/b', 'ä', 'x'.repeat(65), 'a\n', '../x'])('%j is no id', async (branchId) => {
    const { transactions } = createTestCoordinator({ participants: { stock: new ScriptedParticipant() } });

    await expect(transactions.run({ branches: [branch('stock', 1, { branchId })] })).rejects.toMatchObject({
      code: 'DTC_INVALID_REQUEST',
      field: 'branchId',
    });
  });
});

describe('The fields of a request', () => {
  const invalid: [string, string, object][] = [
    ...[0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 86_400_001, '5000', null].map(
      (timeoutMs): [string, string, object] => ['timeoutMs', String(timeoutMs), { timeoutMs }],
    ),
    ['name', 'too long', { name: 'x'.repeat(101) }],
    ['name', 'no text', { name: 5 }],
    ['branches', 'no list', { branches: undefined }],
    ['branches', 'no list', { branches: { length: 1 } }],
  ];
  it.each(invalid)('%s (%s) is refused, and nothing is begun', async (field, _, options) => {
    const { transactions, runtime } = createTestCoordinator();

    await expect(transactions.run({ branches: [], ...options })).rejects.toMatchObject({
      code: 'DTC_INVALID_REQUEST',
      field,
    });
    if (field !== 'branches') {
      expect(() => transactions.begin(options)).toThrow(InvalidRequestError);
    }
    expect(transactions.list()).toEqual([]);
    expect(runtime.registry.inFlight).toBe(0);
  });

  it.each([1, 86_400_000])('a time-out of %i ms is taken', async (timeoutMs) => {
    const { transactions } = createTestCoordinator();

    expect(await transactions.run({ branches: [], timeoutMs })).toMatchObject({ status: 'committed' });
  });

  it('refuses with an error that has a stable code and a remedy', async () => {
    const { transactions } = createTestCoordinator({ participants: { stock: new ScriptedParticipant() } });
    const request = transactions.run({ branches: [branch('stok', 1)] });

    await expect(request).rejects.toThrow(UnknownParticipantError);
    await expect(request).rejects.toBeInstanceOf(CoordinatorError);
    await expect(request).rejects.toThrow(/"stok".*registered: stock.*@Participant/);
  });

  it.each([{}, { branches: [null] }, undefined, null])(
    'a request that is no request (%j) is refused, and nothing is begun',
    async (request) => {
      const { transactions, runtime } = createTestCoordinator();

      await expect(transactions.run(request as unknown as TransactionRequest)).rejects.toThrow(
        /branches|participant/,
      );
      expect(runtime.registry.inFlight).toBe(0);
    },
  );
});

describe('The number of transactions', () => {
  it('maxInFlight is exact, and each end gives its place back', async () => {
    const gates: (() => void)[] = [];
    const stock = new ScriptedParticipant();
    const { transactions, participants, runtime } = createTestCoordinator({
      participants: { stock },
      maxInFlight: 5,
    });
    participants.register(
      {
        prepare: () => new Promise<'commit'>((resolve) => gates.push(() => resolve('commit'))),
        commit: () => {},
        rollback: () => {},
      },
      { name: 'gated' },
    );
    const run = () => transactions.run({ branches: [branch('gated', 1)] });

    const running = Array.from({ length: 5 }, run);
    await expect(run()).rejects.toThrow(OverloadedError);
    gates[2]!();
    await running[2];
    expect(runtime.registry.inFlight).toBe(4);
    const another = run();
    await expect(run()).rejects.toMatchObject({ code: 'DTC_OVERLOADED', maxInFlight: 5 });
    for (const open of gates) open();
    await Promise.all([...running, another]);
    expect(runtime.registry.inFlight).toBe(0);
    expect(gates).toHaveLength(6);
  });

  it('aborts and time-outs give their places back as well', async () => {
    const hung = new ScriptedParticipant({ prepare: 'hang' });
    const refusing = new ScriptedParticipant({ prepare: 'no' });
    const { transactions, clock, runtime } = createTestCoordinator({
      participants: { hung, refusing },
      maxInFlight: 1,
      prepareTimeoutMs: 100,
    });
    for (let round = 0; round < 60; round++) {
      expect(await transactions.run({ branches: [branch('refusing', 1)] })).toMatchObject({
        status: 'aborted',
      });
      const running = transactions.run({ branches: [branch('hung', 1)] });
      await clock.advance(100, 100);
      expect(await running).toMatchObject({ status: 'aborted', cause: 'timed-out' });
    }
    expect(runtime.registry.inFlight).toBe(0);
  });

  it('a stalled transaction gives its place to another, and stays known', async () => {
    const stuck = new ScriptedParticipant({ commit: 'throw' });
    const { transactions, runtime } = createTestCoordinator({
      participants: { stuck },
      maxInFlight: 1,
      maxAttempts: 1,
    });
    for (let number = 0; number < 10; number++) {
      expect(await transactions.run({ branches: [branch('stuck', number)] })).toMatchObject({
        status: 'pending',
      });
    }

    expect(runtime.registry.inFlight).toBe(0);
    expect(transactions.list({ stalled: true })).toHaveLength(10);
  });

  it('beyond maxStalled only transactions that name the stalled participant are refused', async () => {
    const stuck = new ScriptedParticipant({ commit: 'throw' });
    const sound = new ScriptedParticipant();
    const { transactions, recover } = createTestCoordinator({
      participants: { stuck, sound },
      maxAttempts: 1,
      maxStalled: 2,
    });
    const toStuck = { branches: [branch('sound', 1), branch('stuck', 1)] };
    await transactions.run(toStuck);
    await transactions.run(toStuck);

    await expect(transactions.run(toStuck)).rejects.toThrow(ParticipantStalledError);
    expect(await transactions.run({ branches: [branch('sound', 1)] })).toMatchObject({ status: 'committed' });
    const transaction = transactions.begin();
    transaction.enlist(branch('sound', 1));
    expect(() => transaction.enlist(branch('stuck', 1))).toThrow(ParticipantStalledError);
    expect(await transaction.commit()).toMatchObject({ status: 'committed' });

    stuck.script = {};
    await recover();
    expect(await transactions.run(toStuck)).toMatchObject({ status: 'committed' });
  });
});
