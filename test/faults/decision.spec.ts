import { describe, expect, it } from 'vitest';
import type { TransactionObserver } from '../../src/coordinator/execution/observer.js';
import { branch } from '../../src/coordinator/index.js';
import {
  ScriptedParticipant,
  type TestCoordinatorOptions,
  createTestCoordinator,
  settled,
} from '../../src/coordinator/testing/index.js';
import { type LogScript, ScriptedLog } from './scripted-log.js';
import { listenTo } from './told.js';

/** An observer that does nothing but what is given. */
function observerOf(given: Partial<TransactionObserver>): TransactionObserver {
  return new Proxy(given, {
    get: (methods, name) => methods[name as keyof TransactionObserver] ?? (() => {}),
  }) as TransactionObserver;
}

function withLog(script: LogScript, options: TestCoordinatorOptions = {}) {
  const log = new ScriptedLog(script);
  const stock = new ScriptedParticipant();
  const payment = new ScriptedParticipant();
  const coordinator = createTestCoordinator({
    participants: { stock, payment },
    log,
    timeoutMs: 1_000,
    ...options,
  });
  const begin = () => {
    const transaction = coordinator.transactions.begin();
    transaction.enlist(branch('stock', 1));
    transaction.enlist(branch('payment', 1));
    return transaction;
  };
  const effects = (id: string) => [stock.effectOn(id, 'stock'), payment.effectOn(id, 'payment')];
  return { ...coordinator, log, stock, payment, begin, effects };
}

const COMMITTED = ['committed', 'committed'];
const ROLLED_BACK = ['rolled-back', 'rolled-back'];

describe('The decision', () => {
  it('fault 22: all votes are in, the decision was never written: abort by presumption, all rolled back', async () => {
    const { begin, effects } = withLog({ append: () => Promise.reject(new Error('the log went away')) });
    const transaction = begin();

    expect(await transaction.commit()).toMatchObject({ status: 'aborted', cause: 'not-recorded' });
    await settled();
    expect(effects(transaction.id)).toEqual(ROLLED_BACK);
    expect(transaction.state).toBe('ABORTED');
  });

  it('fault 23 §: an append that fails although the record was written is a commit', async () => {
    const { begin, effects, log } = withLog({
      append: (write) => {
        write();
        return Promise.reject(new Error('acknowledgement lost'));
      },
    });
    const transaction = begin();

    expect(await transaction.commit()).toMatchObject({ status: 'committed' });
    expect(effects(transaction.id)).toEqual(COMMITTED);
    expect(log.inquiries).toBe(1);
  });

  it('fault 23 §: the same when the append throws at once', async () => {
    const { begin, effects } = withLog({
      append: (write) => {
        write();
        throw new Error('acknowledgement lost');
      },
    });
    const transaction = begin();

    expect(await transaction.commit()).toMatchObject({ status: 'committed' });
    expect(effects(transaction.id)).toEqual(COMMITTED);
  });

  it('fault 24: a record that was not written is an abort, but only once the log has proven it absent', async () => {
    const proof = Promise.withResolvers<'absent'>();
    const { begin, effects, stock } = withLog({
      append: () => Promise.reject(new Error('disk full')),
      lookUp: () => proof.promise,
    });
    const transaction = begin();
    const told = listenTo(transaction.commit());
    await settled();
    expect(transaction.state).toBe('READY');
    expect(told.outcome).toBeUndefined();
    expect(stock.calls.map(({ method }) => method)).toEqual(['prepare']);

    proof.resolve('absent');
    await settled();
    expect(told.outcome).toMatchObject({ status: 'aborted', cause: 'not-recorded' });
    expect(effects(transaction.id)).toEqual(ROLLED_BACK);
  });

  it.each([
    ['recorded', 'COMMITTED', COMMITTED],
    ['absent', 'ABORTED', ROLLED_BACK],
  ] as const)(
    'fault 23 §, 24: while the log cannot answer the transaction is pending; then %s ends it %s',
    async (truth, state, expected) => {
      const { begin, effects, clock, log, stock } = withLog({
        append: (write) => {
          if (truth === 'recorded') write();
          return Promise.reject(new Error('connection lost'));
        },
        lookUp: (isRecorded, turn) =>
          turn < 6
            ? Promise.reject(new Error('still away'))
            : Promise.resolve(isRecorded ? 'recorded' : 'absent'),
      });
      const transaction = begin();
      const told = listenTo(transaction.commit());

      await clock.advance(1_000);
      expect(told.outcome).toMatchObject({ status: 'pending', decision: 'unknown' });
      expect(transaction.state).toBe('READY');
      expect(stock.calls.map(({ method }) => method)).toEqual(['prepare']);

      await clock.advance(60_000);
      expect(log.inquiries).toBe(6);
      expect(transaction.state).toBe(state);
      expect(effects(transaction.id)).toEqual(expected);
      expect(told.outcome).toMatchObject({ status: 'pending' });
    },
  );

  it('fault 23 §: an answer of the log that is neither recorded nor absent does not count', async () => {
    const { begin, clock, effects } = withLog({
      append: (write) => {
        write();
        return Promise.reject(new Error('connection lost'));
      },
      lookUp: (_, turn) => Promise.resolve((turn === 1 ? undefined : 'recorded') as 'recorded'),
    });
    const transaction = begin();
    void transaction.commit();
    await settled();
    expect(transaction.state).toBe('READY');

    await clock.advance(1_000);
    expect(effects(transaction.id)).toEqual(COMMITTED);
  });

  it('fault 23 §: an inquiry that throws at once leaves the decision in doubt, and is repeated', async () => {
    const { begin, clock, effects } = withLog({
      append: (write) => {
        write();
        return Promise.reject(new Error('connection lost'));
      },
      lookUp: (_, turn) => {
        if (turn === 1) throw new Error('no connection to ask through');
        return Promise.resolve('recorded');
      },
    });
    const transaction = begin();
    void transaction.commit();
    await settled();
    expect(transaction.state).toBe('READY');

    await clock.advance(1_000);
    expect(effects(transaction.id)).toEqual(COMMITTED);
  });

  it('fault 27: a slow log is bounded by the deadline for the caller, and its answer still decides', async () => {
    const flush = Promise.withResolvers<void>();
    const { begin, clock, effects, stock } = withLog({
      append: async (write) => {
        await flush.promise;
        write();
      },
    });
    const transaction = begin();
    const told = listenTo(transaction.commit());

    await clock.advance(990);
    expect(told.outcome).toBeUndefined();
    await clock.advance(10);
    expect(told.outcome).toMatchObject({ status: 'pending', decision: 'unknown' });
    expect(stock.count('commit')).toBe(0);
    expect(stock.count('rollback')).toBe(0);

    flush.resolve();
    await settled();
    expect(transaction.state).toBe('COMMITTED');
    expect(effects(transaction.id)).toEqual(COMMITTED);
  });

  it('master rule 1: no commit leaves before the record is durable', async () => {
    const flush = Promise.withResolvers<void>();
    const { begin, stock, payment } = withLog({ append: () => flush.promise });
    const transaction = begin();
    const running = transaction.commit();
    await settled();
    expect(stock.count('commit') + payment.count('commit')).toBe(0);

    flush.resolve();
    await running;
    expect(stock.count('commit') + payment.count('commit')).toBe(2);
  });

  it('master rule 1: aborts, read-only and one-phase transactions write nothing', async () => {
    const { begin, log, stock, payment, participants, transactions } = withLog({});
    stock.script = { prepare: 'no' };
    await begin().commit();
    stock.script = { prepare: 'read-only' };
    payment.script = { prepare: 'read-only' };
    await begin().commit();
    await begin().rollback();
    participants.register(
      { prepare: () => 'commit', commit: () => {}, rollback: () => {}, commitOnePhase: () => 'commit' },
      { name: 'ledger' },
    );
    await transactions.run({ branches: [branch('ledger', 1)] });
    expect(log.records.size).toBe(0);

    payment.script = {};
    const written = begin();
    await written.commit();
    expect([...log.records]).toEqual([written.id]);
  });

  it('fault 32: asking for commit again replays the outcome and runs nothing twice', async () => {
    const { begin, stock } = withLog({});
    const transaction = begin();
    const first = await transaction.commit();

    expect(await transaction.commit()).toBe(first);
    expect(await transaction.rollback()).toBe(first);
    expect(stock.calls.map(({ method }) => method)).toEqual(['prepare', 'commit']);
  });

  it('fault 33 §: a caller that is answered before the decision is known is told pending, and abort only once it is decided', async () => {
    const { begin, clock, transactions } = withLog({ append: () => new Promise(() => {}) });
    const transaction = begin();
    const told = listenTo(transaction.commit());
    await clock.advance(5_000);

    expect(told.outcome).toMatchObject({ status: 'pending', decision: 'unknown' });
    expect(transactions.find(transaction.id)).toMatchObject({ state: 'READY', decision: null });
  });

  it('fault 27: a log that never answers an append, nor an inquiry, is asked again until it does', async () => {
    const { begin, clock, log } = withLog({
      append: () => new Promise(() => {}),
      lookUp: (_isRecorded, turn) =>
        turn < 3 ? new Promise(() => {}) : Promise.resolve('recorded' as const),
    });
    const transaction = begin();
    void transaction.commit();
    await clock.advance(35_000, 100);

    expect(log.inquiries).toBe(3);
    expect(transaction.state).toBe('COMMITTED');
  });

  it('fault 24: an append that is answered after the decision changes nothing, and a contradiction is reported', async () => {
    const appends: PromiseWithResolvers<void>[] = [];
    const defects: unknown[] = [];
    const { begin, clock, transactions } = withLog(
      {
        append: () => {
          appends.push(Promise.withResolvers());
          return appends.at(-1)!.promise;
        },
        lookUp: () => Promise.resolve('absent' as const),
      },
      { observer: observerOf({ defect: (error) => defects.push(error) }) },
    );
    const [lost, liar] = [begin(), begin()];
    void lost.commit();
    void liar.commit();
    await clock.advance(11_000, 100);
    appends[0]!.reject(new Error('connection reset'));
    appends[1]!.resolve();
    await settled();

    expect([lost.state, liar.state]).toEqual(['ABORTED', 'ABORTED']);
    expect(transactions.find(lost.id)?.timeline.map(({ event }) => event)).not.toContain('record-unknown');
    expect(defects).toHaveLength(1);
  });

  it('fault 34: a rollback that races the commit gets the one outcome, whichever wins', async () => {
    const { begin, effects } = withLog({});

    const commitFirst = begin();
    const [committed, tooLate] = await Promise.all([commitFirst.commit(), commitFirst.rollback()]);
    expect(committed).toBe(tooLate);
    expect(committed).toMatchObject({ status: 'aborted', cause: 'rolled-back' });
    await settled();
    expect(effects(commitFirst.id)).toEqual(ROLLED_BACK);

    const rollbackFirst = begin();
    const [rolledBack, refused] = await Promise.all([rollbackFirst.rollback(), rollbackFirst.commit()]);
    expect(rolledBack).toBe(refused);
    expect(rolledBack).toMatchObject({ status: 'aborted' });

    const decided = begin();
    const commit = decided.commit();
    await settled();
    expect(await decided.rollback()).toBe(await commit);
    expect(await commit).toMatchObject({ status: 'committed' });
    expect(effects(decided.id)).toEqual(COMMITTED);
  });

  it('fault 34: a rollback while the decision is being recorded comes too late', async () => {
    const flush = Promise.withResolvers<void>();
    const { begin, effects } = withLog({ append: () => flush.promise });
    const transaction = begin();
    const committing = transaction.commit();
    await settled();
    const rollingBack = transaction.rollback();
    flush.resolve();

    expect(await rollingBack).toBe(await committing);
    expect(await committing).toMatchObject({ status: 'committed' });
    expect(effects(transaction.id)).toEqual(COMMITTED);
  });
});
