import { describe, expect, it, vi } from 'vitest';
import { type LogScript, ScriptedLog } from '../../../test/faults/scripted-log.js';
import { listenTo } from '../../../test/faults/told.js';
import { LogBrokenError, RecordRefusedError } from '../log/log-errors.js';
import { branch } from '../participant/branch-request.js';
import {
  type ParticipantScript,
  ScriptedParticipant,
  createTestCoordinator,
  settled,
} from '../testing/index.js';
import type { TransactionObserver } from './observer.js';

function setUp(script: LogScript, stockScript: ParticipantScript = {}) {
  const log = new ScriptedLog(script);
  const stock = new ScriptedParticipant(stockScript);
  const [fenced, notNoted] = [vi.fn<() => void>(), vi.fn<TransactionObserver['notNoted']>()];
  const observer = new Proxy({ fenced, notNoted } as Partial<TransactionObserver> as TransactionObserver, {
    get: (methods, name) => methods[name as keyof TransactionObserver] ?? (() => {}),
  });
  const coordinator = createTestCoordinator({
    participants: { stock },
    observer,
    log,
    random: () => 0.5,
    completionTimeoutMs: 500,
    maxAttempts: 1_000,
  });
  const run = () => coordinator.transactions.run({ branches: [branch('stock', 1)] });
  return { ...coordinator, log, stock, run, fenced, notNoted };
}

describe('DecisionRecorder', () => {
  it('treats an append that throws at once as unknown, until the log answers', async () => {
    const { run, log, stock } = setUp({
      append: () => {
        throw new Error('refused');
      },
    });
    expect(await run()).toMatchObject({ status: 'aborted', cause: 'not-recorded' });
    expect(log.inquiries).toBe(1);
    expect(stock.count('commit')).toBe(0);
  });

  it('trusts the answer of a log that threw although it has the record', async () => {
    const { run, stock } = setUp({
      append: (write) => {
        write();
        throw new Error('apparently refused');
      },
    });
    expect(await run()).toMatchObject({ status: 'committed' });
    expect(stock.count('commit')).toBe(1);
  });

  it('tells the caller pending at once when only a new start of the log can find the outcome', async () => {
    const { run, clock, log } = setUp({
      append: () => Promise.reject(new LogBrokenError('EIO')),
      lookUp: () => Promise.reject(new LogBrokenError('EIO')),
    });
    const running = run();
    await settled();

    // No time has passed.
    expect(await running).toMatchObject({ status: 'pending' });
    await clock.advance(60_000, 1_000);
    expect(log.inquiries).toBeGreaterThan(1);
  });

  it('takes the fence of an earlier run of the process for none of the present one', async () => {
    const answered = Promise.withResolvers<'fenced'>();
    const { run, runtime, fenced } = setUp({
      append: () => Promise.reject(new Error('no answer')),
      lookUp: () => answered.promise,
    });
    const running = run();
    await settled();
    const { logId, epoch, durable } = runtime.log.run;
    const claim = {
      logId,
      epoch: epoch + 1,
      token: 'later',
      durable,
      decisions: [],
      reports: [],
      audits: [],
    };
    runtime.takeRun(claim);
    answered.resolve('fenced');

    expect(await running).toMatchObject({ status: 'pending' });
    expect([runtime.log.epoch, runtime.log.isLost, fenced.mock.calls.length]).toEqual([epoch + 1, false, 0]);
  });

  it('tells the caller pending also when the log breaks during the inquiry', async () => {
    const { run, runtime } = setUp({
      append: () => Promise.reject(new Error('no answer')),
      lookUp: () => Promise.reject(new LogBrokenError('EIO')),
    });

    expect(await run()).toMatchObject({ status: 'pending' });
    expect(runtime.log.isBroken).toBe(true);
  });

  it('starts other transactions after the log has refused a record because of its content', async () => {
    let refused = 0;
    const { run, runtime } = setUp({
      append: (write) => {
        if (refused++ > 0) return write();
        return Promise.reject(new RecordRefusedError('commit/1', 'it is nested too deeply'));
      },
    });

    expect(await run()).toMatchObject({ status: 'aborted', cause: 'not-recorded' });
    expect(runtime.log.problem).toBeUndefined();
    expect(await run()).toMatchObject({ status: 'committed' });
  });

  it('asks no further once it knows, however long the completion takes', async () => {
    const { run, log, clock } = setUp(
      {
        append: (write) => {
          write();
          return Promise.reject(new Error('acknowledgement lost'));
        },
      },
      { commit: 'hang' },
    );
    const told = listenTo(run());
    await clock.advance(120_000, 100);
    expect(told.outcome).toMatchObject({ status: 'pending', decision: 'commit' });
    expect(log.inquiries).toBe(1);
  });

  it('notes each failed inquiry of the log, with its number', async () => {
    const { run, clock, runtime } = setUp({
      append: () => Promise.reject(new Error('gone')),
      lookUp: (_, turn) =>
        turn < 3 ? Promise.reject(new Error(`away ${turn}`)) : Promise.resolve('absent' as const),
    });
    const outcome = run();
    await settled();
    await clock.advance(1_000);
    const { transactionId } = await outcome;
    const { incidents } = runtime.registry.find(transactionId)!.extras!;
    expect(
      incidents.map(({ type, branch: index, attempt, message }) => [type, index, attempt, message]),
    ).toEqual([
      ['record-unknown', -1, 0, 'gone'],
      ['record-unknown', -1, 1, 'away 1'],
      ['record-unknown', -1, 2, 'away 2'],
    ]);
  });

  it('does not change a decision after a late answer of the log that it has the record', async () => {
    const word = Promise.withResolvers<'recorded' | 'absent' | 'fenced'>();
    const { run, log, clock, runtime, stock } = setUp({
      append: (write) => {
        write();
        return Promise.reject(new Error('acknowledgement lost'));
      },
      lookUp: (_, turn) => (turn === 1 ? word.promise : Promise.resolve('recorded' as const)),
    });
    const outcome = run();
    await clock.advance(11_000, 100);
    const { transactionId } = await outcome;
    expect(log.inquiries).toBe(2);
    expect(runtime.registry.find(transactionId)).toMatchObject({ stateName: 'COMMITTED' });

    word.resolve('fenced');
    await settled();
    expect(runtime.registry.unsettled.size).toBe(0);
    expect(runtime.registry.find(transactionId)).toMatchObject({ stateName: 'COMMITTED' });
    expect(stock.count('commit')).toBe(1);
  });

  it('notes that a log does not answer, or the error of one that failed', async () => {
    const silent = setUp({ append: () => new Promise(() => {}), lookUp: () => new Promise(() => {}) });
    void silent.run();
    await silent.clock.advance(9_990);
    expect(silent.runtime.log.problem).toBeUndefined();
    await silent.clock.advance(60_000, 100);
    expect(silent.log.inquiries).toBeGreaterThan(1);
    expect(silent.runtime.log.problem).toBe('it has not answered for 10000 ms');

    const failing = setUp({
      append: () => Promise.reject(new Error('disk full')),
      lookUp: () => new Promise(() => {}),
    });
    void failing.run();
    await failing.clock.advance(60_000, 100);
    expect(failing.log.inquiries).toBeGreaterThan(1);
    expect(failing.runtime.log.problem).toBe('disk full');
  });

  it('reports once that another coordinator has claimed the log, however many transactions find it out', async () => {
    const { transactions, clock, fenced } = setUp({
      append: () => Promise.reject(new Error('gone')),
      lookUp: () => Promise.resolve('fenced'),
    });
    const outcomes = [1, 2].map((number) => transactions.run({ branches: [branch('stock', number)] }));
    await clock.advance(10);

    expect(await Promise.all(outcomes)).toMatchObject([{ status: 'pending' }, { status: 'pending' }]);
    expect(fenced).toHaveBeenCalledTimes(1);
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('read-only');
      },
    ],
    ['rejects', () => Promise.reject(new Error('read-only'))],
  ])('reports an end record that %s to the observer, and changes nothing', async (_, end) => {
    const { run, notNoted } = setUp({ end });
    const { status, transactionId } = await run();
    await settled();

    expect(status).toBe('committed');
    expect(notNoted.mock.calls).toEqual([[expect.objectContaining({ id: transactionId }), 'read-only']]);
  });
});
