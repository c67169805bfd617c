import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type Branch,
  HeuristicError,
  type Outcome,
  type TransactionParticipant,
  branch,
} from '../../src/coordinator/index.js';
import { ScriptedParticipant, createTestCoordinator, settled } from '../../src/coordinator/testing/index.js';
import { listenTo } from '../faults/told.js';

type Method = 'prepare' | 'commit' | 'rollback';

const UNREADABLE = {
  get vote(): never {
    throw new Error('this cannot be read');
  },
  get code(): never {
    throw new Error('this cannot be read');
  },
};

/** A subclass whose constructor takes more than an executor, so that its own `then` throws. */
class Underivable extends Promise<unknown> {
  constructor(label: string, executor: (resolve: (value: unknown) => void) => void) {
    if (typeof label !== 'string') throw new TypeError('a label is needed');
    super(executor);
  }
}

/** What a method may do besides what it should. Each makes a fresh answer. */
const MISDEEDS: Record<string, () => unknown> = {
  'throws at once': () => {
    throw new Error('at once');
  },
  'throws nothing at all': () => {
    throw undefined;
  },
  'throws what cannot be shown': () => {
    throw Object.create(null);
  },
  'throws what cannot be read': () => {
    throw UNREADABLE;
  },
  'throws an error whose message is no text': () => {
    throw Object.assign(new Error('x'), { message: { deep: ['x'] } });
  },
  'throws a heuristic report of no known kind': () => {
    throw Object.assign(new Error('x'), { code: 'DTC_HEURISTIC', kind: { toString: null } });
  },
  'rejects with undefined': () => Promise.reject(undefined),
  'rejects with a promise': () => Promise.reject(Promise.resolve('commit')),
  'answers COMMIT': () => 'COMMIT',
  'answers true': () => true,
  'answers nothing': () => undefined,
  'answers an empty object': () => ({}),
  'answers what cannot be read': () => UNREADABLE,
  'answers a promise of what cannot be read': () => Promise.resolve(UNREADABLE),
  'answers a promise of null': () => Promise.resolve(null),
  'answers a promise of a list': () => Promise.resolve(['commit']),
  'answers a symbol': () => Symbol('commit'),
  'answers a bigint': () => 1n,
  'answers a thenable that calls back twice': () => ({
    then: (resolve: (value: unknown) => void) => {
      resolve('twice');
      resolve('commit');
    },
  }),
  'answers a thenable that calls back at once with another': () => ({
    then: (resolve: (value: unknown) => void) =>
      resolve({ then: (again: (value: unknown) => void) => again('nested') }),
  }),
  'answers a thenable that throws': () => ({
    then: () => {
      throw new Error('in then');
    },
  }),
  'answers a thenable that never calls back': () => ({ then: () => {} }),
  'answers a promise that nothing can be derived from': () =>
    new Underivable('label', (resolve) => resolve(undefined)),
  'never answers': () => new Promise(() => {}),
};

function misbehaving(method: Method, answer: () => unknown): TransactionParticipant {
  const sound = { prepare: () => 'commit' as const, commit: () => {}, rollback: () => {} };
  let calls = 0;
  const faulty = { [method]: () => (calls++ === 0 ? answer() : sound[method]()) };
  return { ...sound, ...faulty };
}

function setUp(faulty: TransactionParticipant) {
  const sound = new ScriptedParticipant();
  const coordinator = createTestCoordinator({
    participants: { faulty, sound },
    prepareTimeoutMs: 200,
    completionTimeoutMs: 200,
    timeoutMs: 1_000,
  });
  const request = { branches: [branch('faulty', 1), branch('sound', 1)] };
  return { ...coordinator, sound, request };
}

describe('A participant that misbehaves', () => {
  const unhandled: unknown[] = [];
  const remember = (error: unknown): void => void unhandled.push(error);
  beforeEach(() => {
    unhandled.length = 0;
    process.on('unhandledRejection', remember);
  });
  afterEach(async () => {
    await settled();
    process.off('unhandledRejection', remember);
    expect(unhandled).toEqual([]);
  });

  it.each(Object.entries(MISDEEDS))('in prepare (%s) aborts the transaction', async (_, misdeed) => {
    const { transactions, request, clock, sound } = setUp(misbehaving('prepare', misdeed));
    const told = listenTo(transactions.run(request));
    await clock.advance(300);

    expect(told.outcome).toMatchObject({ status: 'aborted', participant: 'faulty' });
    const outcome = told.outcome as Extract<Outcome, { status: 'aborted' }>;
    expect(['failed', 'timed-out']).toContain(outcome.cause);
    expect(typeof outcome.reason).toBe('string');
    expect(sound.effectOn(outcome.transactionId, 'sound')).toBe('rolled-back');
    expect(transactions.find(outcome.transactionId)).toMatchObject({ state: 'ABORTED' });
  });

  it.each(Object.entries(MISDEEDS))('in commit (%s) changes no decision', async (_, misdeed) => {
    const { transactions, request, clock } = setUp(misbehaving('commit', misdeed));
    const told = listenTo(transactions.run(request));
    await clock.advance(1_000);

    expect(told.outcome).toMatchObject({ status: 'committed' });
    expect(transactions.find(told.outcome!.transactionId)).toMatchObject({ state: 'COMMITTED' });
  });

  it.each(Object.entries(MISDEEDS))('in rollback (%s) changes no decision', async (_, misdeed) => {
    const { transactions, request, clock, sound } = setUp(misbehaving('rollback', misdeed));
    sound.script = { prepare: 'no' };
    const told = listenTo(transactions.run(request));
    await clock.advance(1_000);

    expect(told.outcome).toMatchObject({ status: 'aborted', participant: 'sound' });
    expect(transactions.find(told.outcome!.transactionId)).toMatchObject({ state: 'ABORTED' });
  });

  it.each(Object.entries(MISDEEDS))('in a one-phase commit (%s) leaves it in doubt', async (_, misdeed) => {
    let calls = 0;
    const { transactions, participants, clock } = createTestCoordinator({
      prepareTimeoutMs: 200,
      timeoutMs: 1_000,
    });
    participants.register(
      {
        prepare: () => 'commit',
        commit: () => {},
        rollback: () => expect.unreachable('a one-phase commit in doubt was rolled back'),
        commitOnePhase: () => (calls++ === 0 ? misdeed() : 'commit') as 'commit',
      },
      { name: 'ledger' },
    );
    const told = listenTo(transactions.run({ branches: [branch('ledger', 1)] }));
    await settled();
    expect(told.outcome).toBeUndefined();

    await clock.advance(1_000);
    expect(told.outcome).toMatchObject({ status: 'committed' });
    expect(calls).toBe(2);
  });

  it('may roll its own transaction back while it is asked to prepare, and await that', async () => {
    for (const turnsBefore of [0, 1, 5]) {
      const { transactions, participants, request, sound } = setUp(new ScriptedParticipant());
      const transaction = transactions.begin();
      const heard: string[] = [];
      participants.unregister('faulty');
      participants.register(
        {
          prepare: async () => {
            for (let turn = 0; turn < turnsBefore; turn++) await Promise.resolve();
            heard.push((await transaction.rollback('from within')).status);
            return 'commit' as const;
          },
          commit: () => expect.unreachable(),
          rollback: () => void heard.push('rollback'),
        },
        { name: 'faulty' },
      );
      for (const one of request.branches) transaction.enlist(one);

      expect(await transaction.commit()).toMatchObject({
        status: 'aborted',
        cause: 'rolled-back',
        reason: 'from within',
      });
      await settled();
      // Its vote came after the abort, so it is rolled back once more.
      expect(heard).toEqual(['rollback', 'aborted', 'rollback']);
      expect(transaction.state).toBe('ABORTED');
      expect(sound.count('commit')).toBe(0);
      expect(sound.effectOn(transaction.id, 'sound')).toBe('rolled-back');
      // Asked before the second was called, there is no need to call it any more.
      if (turnsBefore === 0) expect(sound.count('prepare')).toBe(0);
    }
  });

  it('may begin another transaction in any method and await it: there is no deadlock', async () => {
    const { transactions, participants, request, sound } = setUp(new ScriptedParticipant());
    const inner = async () => (await transactions.run({ branches: [branch('sound', 'inner')] })).status;
    const heard: string[] = [];
    participants.unregister('faulty');
    participants.register(
      {
        prepare: async () => (heard.push(await inner()), 'commit' as const),
        commit: async () => void heard.push(await inner()),
        rollback: async () => void heard.push(await inner()),
      },
      { name: 'faulty' },
    );

    expect(await transactions.run(request)).toMatchObject({ status: 'committed' });
    const transaction = transactions.begin();
    transaction.enlist(request.branches[0]!);
    expect(await transaction.rollback()).toMatchObject({ status: 'aborted' });
    await settled();
    expect(heard).toEqual(['committed', 'committed', 'committed']);
    expect(transaction.state).toBe('ABORTED');
    expect(sound.count('commit')).toBe(4);
  });

  it('that awaits the commit of its own transaction is given up by its time-out', async () => {
    const { transactions, participants, request, clock } = setUp(new ScriptedParticipant());
    const transaction = transactions.begin();
    participants.unregister('faulty');
    participants.register(
      {
        prepare: async () => (await transaction.commit(), 'commit' as const),
        commit: () => {},
        rollback: () => {},
      },
      { name: 'faulty' },
    );
    for (const one of request.branches) transaction.enlist(one);
    const told = listenTo(transaction.commit());
    await clock.advance(200);

    expect(told.outcome).toMatchObject({ status: 'aborted', cause: 'timed-out', participant: 'faulty' });
  });

  it('may commit or roll back from its own abort listener, to no effect', async () => {
    const { transactions, participants, request, sound } = setUp(new ScriptedParticipant());
    const transaction = transactions.begin();
    const heard: string[] = [];
    participants.unregister('faulty');
    participants.register(
      {
        prepare: ({ signal }: Branch) => {
          signal.addEventListener('abort', () => {
            void transaction.commit().then(({ status }) => heard.push(status));
            void transaction.rollback().then(({ status }) => heard.push(status));
          });
          return new Promise<'commit'>(() => {});
        },
        commit: () => expect.unreachable(),
        rollback: () => {},
      },
      { name: 'faulty' },
    );
    sound.script = { prepare: 'no' };
    for (const one of request.branches) transaction.enlist(one);

    expect(await transaction.commit()).toMatchObject({ status: 'aborted', cause: 'refused' });
    await settled();
    expect(heard).toEqual(['aborted', 'aborted']);
    expect(transaction.state).toBe('ABORTED');
  });

  it('whose abort listener throws does not affect the others', async () => {
    // The runtime reports a listener's error as uncaught; no other code may catch it here.
    const others = process.listeners('uncaughtException');
    const uncaught: unknown[] = [];
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', (error) => uncaught.push(error));
    try {
      const { transactions, request, sound } = setUp({
        prepare: ({ signal }: Branch) => {
          signal.addEventListener('abort', () => {
            throw new Error('in the listener');
          });
          return new Promise<'commit'>(() => {});
        },
        commit: () => {},
        rollback: () => {},
      });
      let isSoundAborted = false;
      sound.script = { prepare: { refuse: 'NO' } };
      const spy = sound.prepare.bind(sound);
      sound.prepare = (one) => {
        one.signal.addEventListener('abort', () => (isSoundAborted = true));
        return spy(one);
      };
      const outcome = await transactions.run(request);
      await settled();

      expect(outcome).toMatchObject({ status: 'aborted', cause: 'refused', participant: 'sound' });
      expect(isSoundAborted).toBe(true);
      expect(transactions.find(outcome.transactionId)).toMatchObject({ state: 'ABORTED' });
      expect(uncaught).toEqual([]);
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const listener of others) process.on('uncaughtException', listener);
    }
  });

  it('that changes or keeps its branch object harms no other', async () => {
    const seen: Branch[] = [];
    const { transactions, request, sound } = setUp({
      prepare: (one: Branch) => {
        seen.push(one);
        return 'commit';
      },
      commit: (one: Branch) => void seen.push(one),
      rollback: () => {},
    });
    const outcome = await transactions.run(request);

    expect(outcome).toMatchObject({ status: 'committed' });
    expect(sound.effectOn(outcome.transactionId, 'sound')).toBe('committed');
    expect(JSON.parse(JSON.stringify(seen[0]))).toMatchObject({
      transactionId: outcome.transactionId,
      branchId: 'faulty',
    });
    expect(getEventListeners(seen[0]!.signal, 'abort')).toEqual([]);
  });

  it('that reports a heuristic end in prepare is only one that failed', async () => {
    const { transactions, request } = setUp(
      misbehaving('prepare', () => {
        throw new HeuristicError('commit', 'far too early');
      }),
    );

    expect(await transactions.run(request)).toMatchObject({ status: 'aborted', cause: 'failed' });
  });
});
