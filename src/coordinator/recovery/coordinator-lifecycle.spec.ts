import { SchedulerRegistry } from '@nestjs/schedule';
import { describe, expect, it, vi } from 'vitest';
import { ScriptedLog } from '../../../test/faults/scripted-log.js';
import type { CoordinatorOptions } from '../coordinator.options.js';
import { ShuttingDownError } from '../errors.js';
import { TurnClock } from '../execution/clock.js';
import { branch } from '../participant/branch-request.js';
import { ScriptedParticipant, createTestCoordinator, settled } from '../testing/index.js';
import { CoordinatorLifecycle } from './coordinator-lifecycle.js';
import { claimOf, idOf } from '../../../test/support/identity.js';

function setUp(
  script: ConstructorParameters<typeof ScriptedParticipant>[0],
  options: CoordinatorOptions = {},
) {
  const stock = new ScriptedParticipant(script);
  const coordinator = createTestCoordinator({ participants: { stock }, ...options });
  const scheduler = new SchedulerRegistry();
  const lifecycle = new CoordinatorLifecycle(scheduler, coordinator.runtime);
  const shutDown = async (): Promise<void> => {
    await lifecycle.drain();
    await lifecycle.onApplicationShutdown();
  };
  return { ...coordinator, stock, scheduler, lifecycle, shutDown };
}

const request = { branches: [branch('stock', 1)] };

describe('CoordinatorLifecycle', () => {
  it('sweeps and recovers by itself between start and shutdown, as jobs of the scheduler', async () => {
    const { scheduler, lifecycle, shutDown } = setUp({});
    expect(scheduler.getIntervals()).toEqual([]);
    lifecycle.onModuleInit();

    expect(scheduler.getIntervals().toSorted()).toEqual(['coordinator.recovery', 'coordinator.sweep']);
    await shutDown();
    expect(scheduler.getIntervals()).toEqual([]);
  });

  it('ends a transaction whose deadline has passed, by the real clock', async () => {
    const stock = new ScriptedParticipant({ prepare: 'hang' });
    const { transactions, runtime } = createTestCoordinator({
      participants: { stock },
      clock: new TurnClock(),
      prepareTimeoutMs: 20,
      sweepIntervalMs: 5,
    });
    const lifecycle = new CoordinatorLifecycle(new SchedulerRegistry(), runtime);
    lifecycle.onModuleInit();

    expect(await transactions.run(request)).toMatchObject({ status: 'aborted', cause: 'timed-out' });
    await lifecycle.drain();
    await lifecycle.onApplicationShutdown();
  });

  it('fault 51: a shutdown starts nothing more and waits for the running transactions', async () => {
    const gate = Promise.withResolvers<void>();
    const { transactions, lifecycle, shutDown, stock } = setUp({ commit: { until: gate.promise } });
    lifecycle.onModuleInit();
    const running = transactions.run(request);
    await settled();
    let isDown = false;
    const shuttingDown = shutDown().then(() => (isDown = true));

    await expect(transactions.run(request)).rejects.toThrow(ShuttingDownError);
    expect(() => transactions.begin()).toThrow(ShuttingDownError);
    await settled();
    expect(isDown).toBe(false);

    gate.resolve();
    expect(await running).toMatchObject({ status: 'committed' });
    await shuttingDown;
    expect(stock.count('prepare')).toBe(1);
  });

  it('fault 51: a list of prepared branches that arrives during a shutdown starts no rollback', async () => {
    const gate = Promise.withResolvers<void>();
    const orphan = idOf('coordinator', 1, 9);
    const list = [{ transactionId: orphan, branchId: 'stock' }];
    let lists = 0;
    class Listing extends ScriptedParticipant {
      async recover() {
        if (++lists > 1) await gate.promise;
        return list;
      }
    }
    const claim = claimOf({ epoch: 2 });
    const { runtime, clock, transactions } = createTestCoordinator({
      participants: { stock: new Listing() },
      log: new ScriptedLog({ claim }),
      orphanSafetyMs: 1_000,
    });
    const lifecycle = new CoordinatorLifecycle(new SchedulerRegistry(), runtime);
    lifecycle.onModuleInit();
    await lifecycle.onApplicationBootstrap();
    await clock.advance(1_000);
    await lifecycle.recoverNow();
    expect(lists).toBe(2);

    await lifecycle.drain();
    gate.resolve();
    await settled();
    expect(transactions.find(orphan)).toBeUndefined();
    await lifecycle.onApplicationShutdown();
  });

  it('fault 51: a transaction begun before the shutdown may still enlist and commit', async () => {
    const { transactions, lifecycle, shutDown } = setUp({});
    lifecycle.onModuleInit();
    const transaction = transactions.begin();
    const shuttingDown = shutDown();

    transaction.enlist(request.branches[0]!);
    expect(await transaction.commit()).toMatchObject({ status: 'committed' });
    await shuttingDown;
  });

  it('fault 51: deadlines still pass while a shutdown waits', async () => {
    const { transactions, lifecycle, shutDown, clock } = setUp({ prepare: 'hang' });
    lifecycle.onModuleInit();
    const running = transactions.run(request);
    const shuttingDown = shutDown();
    await clock.advance(5_000);

    expect(await running).toMatchObject({ status: 'aborted', cause: 'timed-out' });
    await shuttingDown;
  });

  it('fault 51: a shutdown ends with its grace period, whatever hangs', async () => {
    const { transactions, lifecycle, shutDown, runtime } = setUp({ commit: 'hang' }, { shutdownGraceMs: 20 });
    lifecycle.onModuleInit();
    void transactions.run(request);
    await settled();
    await shutDown();

    expect(runtime.registry.inFlight).toBe(1);
  });

  it.each([
    [{ prepare: 'hang' }, { status: 'aborted', cause: 'timed-out' }],
    [{ commit: 'hang' }, { status: 'pending', decision: 'commit' }],
  ] as const)(
    'fault 51: after the grace period every waiting caller is answered: %o',
    async (script, answer) => {
      const { transactions, lifecycle, shutDown } = setUp(script, { shutdownGraceMs: 20 });
      lifecycle.onModuleInit();
      const running = transactions.run(request);
      await settled();
      await shutDown();

      expect(await running).toMatchObject(answer);
    },
  );

  it('a shutdown in which no job can be stopped waits for every caller all the same, and closes the log', async () => {
    const gate = Promise.withResolvers<void>();
    const { transactions, lifecycle, scheduler, runtime } = setUp({ prepare: { until: gate.promise } });
    const close = vi.spyOn(runtime.parts.log, 'close');
    lifecycle.onModuleInit();
    const running = transactions.run(request);
    await settled();
    const deleteInterval = scheduler.deleteInterval.bind(scheduler);
    scheduler.deleteInterval = (name) => {
      deleteInterval(name);
      throw new Error(`${name} stays`);
    };

    const drained = lifecycle.drain();
    drained.catch(() => {});
    await settled();
    gate.resolve();
    expect(await running).toMatchObject({ status: 'committed' });
    await expect(drained).rejects.toThrow('stays');
    await expect(lifecycle.onApplicationShutdown()).rejects.toThrow('stays');
    expect(close).toHaveBeenCalledOnce();
  });

  it('a shutdown does not wait if no transaction is in flight, stalled ones excluded', async () => {
    const { transactions, lifecycle, shutDown } = setUp(
      { commit: 'throw' },
      { maxAttempts: 1, shutdownGraceMs: 86_400_000 },
    );
    lifecycle.onModuleInit();
    expect(await transactions.run(request)).toMatchObject({ status: 'pending' });
    await shutDown();
  });

  it('tries stalled branches by itself, at the pace of the recovery job', async () => {
    const { transactions, lifecycle, shutDown, stock } = setUp(
      { commit: ['throw', 'yes'] },
      { maxAttempts: 1, recoveryIntervalMs: 10 },
    );
    lifecycle.onModuleInit();
    await lifecycle.onApplicationBootstrap();
    const { transactionId } = await transactions.run(request);

    const state = () => transactions.find(transactionId)?.state;
    await expect.poll(state, { timeout: 10_000 }).toBe('COMMITTED');
    expect(stock.count('commit')).toBe(2);
    await shutDown();
  });

  it('recoverNow tries stalled branches at once', async () => {
    const { transactions, lifecycle, shutDown, stock } = setUp({ commit: 'throw' }, { maxAttempts: 1 });
    lifecycle.onModuleInit();
    await lifecycle.onApplicationBootstrap();
    const { transactionId } = await transactions.run(request);
    stock.script = {};
    await Promise.all([lifecycle.recoverNow(), lifecycle.recoverNow()]);

    expect(transactions.find(transactionId)).toMatchObject({ state: 'COMMITTED' });
    expect(stock.count('commit')).toBe(2);
    await shutDown();
  });
});
