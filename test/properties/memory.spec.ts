import { getEventListeners } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it, vi } from 'vitest';
import {
  type TransactionParticipant,
  type TransactionView,
  UnknownParticipantError,
  branch,
} from '../../src/coordinator/index.js';
import { ScriptedParticipant, createTestCoordinator, settled } from '../../src/coordinator/testing/index.js';

const TRANSACTIONS = 200_000;
const RETAINED = 100;

const silent = (prepare: TransactionParticipant['prepare']): TransactionParticipant => ({
  prepare,
  commit: () => {},
  rollback: () => {},
});

function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

describe('Unfinished work', () => {
  it(`${TRANSACTIONS} transactions leave no more than the finished ones that are kept`, async () => {
    let calls = 0;
    const payload = { lines: 'x'.repeat(500) };
    const { transactions, runtime } = createTestCoordinator({
      participants: {
        first: silent(() => 'commit'),
        // One in four refuses, one in ten throws.
        second: silent(() => {
          calls++;
          if (calls % 10 === 0) throw new Error('scripted');
          return calls % 4 === 0 ? 'abort' : 'commit';
        }),
      },
      retainFinished: RETAINED,
      maxInFlight: 1_000,
    });
    const controller = new AbortController();
    const timers = [vi.spyOn(globalThis, 'setTimeout'), vi.spyOn(globalThis, 'setInterval')];
    const run = async (count: number): Promise<void> => {
      for (let begun = 0; begun < count; begun += 500) {
        const batch = Array.from({ length: 500 }, () =>
          transactions.run({
            branches: [branch('first', { ...payload }), branch('second', { ...payload })],
            signal: controller.signal,
          }),
        );
        await Promise.all(batch);
      }
      await settled();
    };

    await run(TRANSACTIONS / 10);
    collectGarbage();
    const before = process.memoryUsage().heapUsed;
    await run(TRANSACTIONS);
    collectGarbage();
    const grownBytes = process.memoryUsage().heapUsed - before;

    let kept = 0;
    runtime.registry.forEach(() => kept++);
    // And as many of those that have failed.
    expect(kept).toBe(2 * RETAINED);
    expect([runtime.registry.inFlight, runtime.registry.unsettled.size]).toEqual([0, 0]);
    // Ten bytes a transaction would be a leak; the heap itself wanders by less than a megabyte or two.
    expect(grownBytes).toBeLessThan(TRANSACTIONS * 10);
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
    for (const timer of timers) {
      expect(timer).not.toHaveBeenCalled();
      timer.mockRestore();
    }
  }, 120_000);

  it('a listener on the signal of the caller is there while the transaction can be cancelled, and no longer', async () => {
    const gate = Promise.withResolvers<void>();
    const stock = new ScriptedParticipant({ commit: { until: gate.promise } });
    const refusing = new ScriptedParticipant({ prepare: 'no' });
    const { transactions, clock } = createTestCoordinator({
      participants: { stock, refusing },
      completionWaitMs: 500,
      completionTimeoutMs: 60_000,
    });
    const { signal } = new AbortController();
    const listeners = () => getEventListeners(signal, 'abort').length;

    const pending = transactions.run({ branches: [branch('stock', 1)], signal });
    expect(listeners()).toBe(1);
    await settled();
    await clock.advance(500);
    expect(await pending).toMatchObject({ status: 'pending' });
    expect(listeners()).toBe(0);

    await transactions.run({ branches: [branch('refusing', 1)], signal });
    expect(listeners()).toBe(0);
    await expect(transactions.run({ branches: [branch('nobody', 1)], signal })).rejects.toThrow(
      UnknownParticipantError,
    );
    expect(listeners()).toBe(0);
    const transaction = transactions.begin({ signal });
    expect(listeners()).toBe(1);
    await clock.advance(60_000, 10_000);
    expect(transaction.state).toBe('ABORTED');
    expect(listeners()).toBe(0);
    gate.resolve();
  });

  it('many transactions may share one signal, and its abort reaches each of them', async () => {
    const hung = new ScriptedParticipant({ prepare: 'hang' });
    const { transactions } = createTestCoordinator({ participants: { hung } });
    const warnings: Error[] = [];
    const remember = (warning: Error): void => void warnings.push(warning);
    process.on('warning', remember);
    const controller = new AbortController();
    const running = Array.from({ length: 50 }, () =>
      transactions.run({ branches: [branch('hung', 1)], signal: controller.signal }),
    );
    controller.abort(new Error('the request was closed'));
    const outcomes = await Promise.all(running);
    await settled();
    process.off('warning', remember);

    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({
        status: 'aborted',
        cause: 'cancelled',
        reason: 'the caller cancelled: the request was closed',
      });
    }
    expect(warnings).toEqual([]);
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
  });

  it('a finished transaction is dropped by number, and by age, and is then unknown', async () => {
    const { transactions, clock } = createTestCoordinator({ retainFinished: 3, retainFinishedMs: 1_000 });
    const ids: string[] = [];
    for (let number = 0; number < 5; number++) {
      ids.push((await transactions.run({ branches: [] })).transactionId);
    }
    const found = () => ids.map((id) => transactions.find(id) !== undefined);
    expect(found()).toEqual([false, false, true, true, true]);

    await clock.advance(990);
    expect(found()).toEqual([false, false, true, true, true]);
    await clock.advance(10);
    expect(found()).toEqual([false, false, false, false, false]);
    expect(transactions.list()).toEqual([]);
  });

  it('the payload is dropped at the end, but not while a rollback may need it', async () => {
    const gate = Promise.withResolvers<void>();
    const stock = new ScriptedParticipant<object>({
      prepare: [{ until: gate.promise, then: { answer: 'commit' } }, 'yes'],
    });
    const { transactions, clock, runtime } = createTestCoordinator({
      participants: { stock },
      prepareTimeoutMs: 100,
    });
    const payload = { sku: 'a' };
    const payloadOf = (id: string) => runtime.registry.find(id)!.branches[0]!.payload;
    const running = transactions.run({ branches: [branch('stock', payload)] });
    await clock.advance(100);
    const { transactionId } = await running;
    expect(transactions.find(transactionId)).toMatchObject({ state: 'ABORTED' });
    expect(payloadOf(transactionId)).toBe(payload);

    gate.resolve();
    await settled();
    expect(stock.calls.at(-1)).toMatchObject({ method: 'rollback', branch: { payload } });
    expect(payloadOf(transactionId)).toBeUndefined();

    const committed = await transactions.run({ branches: [branch('stock', payload)] });
    expect(payloadOf(committed.transactionId)).toBeUndefined();
  });

  it('a branch that fails for days keeps a bounded history', async () => {
    const stuck = new ScriptedParticipant({ commit: 'throw' });
    const { transactions, clock, recover } = createTestCoordinator({ participants: { stuck } });
    const running = transactions.run({ branches: [branch('stuck', 1)] });
    await settled();
    await clock.advance(60_000, 1_000);
    const { transactionId } = await running;
    for (let pass = 0; pass < 500; pass++) await recover();

    const view = transactions.find(transactionId) as TransactionView;
    expect(view.branches[0]!.attempts).toBe(505);
    expect(view.timeline.length).toBeLessThan(60);
  });
});
