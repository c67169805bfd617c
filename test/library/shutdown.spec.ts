import {
  Inject,
  Injectable,
  Module,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type OnModuleInit,
} from '@nestjs/common';
import { SchedulerRegistry } from '@nestjs/schedule';
import { Test, type TestingModule } from '@nestjs/testing';
import { describe, expect, it, vi } from 'vitest';
import {
  CoordinatorModule,
  type CoordinatorModuleOptions,
  CoordinatorStatus,
  type Outcome,
  Participant,
  ParticipantRegistry,
  TransactionManager,
  type TransactionParticipant,
  branch,
} from '../../src/coordinator/index.js';
import { ScriptedParticipant, recoverNow } from '../../src/coordinator/testing/index.js';
import { start, startWith } from './support/applications.js';
import { LogRecorder } from './support/log-recorder.js';
import { Alpha, Willing } from './support/participants.js';
import { timers } from './support/timers.js';

async function withParticipant(
  participant: TransactionParticipant,
  options: CoordinatorModuleOptions = {},
  log?: LogRecorder,
): Promise<{ application: TestingModule; transactions: TransactionManager }> {
  const application = await startWith([], options, log);
  application.get(ParticipantRegistry).register(participant, { name: 'p' });
  return { application, transactions: application.get(TransactionManager) };
}

describe('a graceful shutdown', () => {
  it('drains each coordinator, where modules have one of their own', async () => {
    @Module({ imports: [CoordinatorModule.forRoot({ name: 'north', isGlobal: false })] })
    class North {}
    @Module({ imports: [CoordinatorModule.forRoot({ name: 'south', isGlobal: false })] })
    class South {}
    const application = await Test.createTestingModule({ imports: [North, South] }).compile();
    await application.init();
    const statuses = application.get(CoordinatorStatus, { strict: false, each: true });
    const accepting = () => statuses.map((status) => status.condition().accepting);

    expect(accepting()).toEqual([true, true]);
    await application.close();
    expect(accepting()).toEqual([false, false]);
  });

  it('takes transactions for the time of its pause, while readiness is red, and says so', async () => {
    const log = new LogRecorder();
    const { application, transactions } = await withParticipant(
      new ScriptedParticipant(),
      { shutdownPauseMs: 200 },
      log,
    );
    const status = application.get(CoordinatorStatus);
    const closing = application.close();
    await vi.waitUntil(() => !status.condition().accepting);

    expect(await transactions.run({ branches: [branch('p', 1)] })).toMatchObject({ status: 'committed' });
    await closing;
    await expect(transactions.run({ branches: [branch('p', 2)] })).rejects.toMatchObject({
      code: 'DTC_SHUTTING_DOWN',
    });
    const lines = log
      .of('Coordinator')
      .map(({ text }) => text)
      .filter((line) => /shutdown|Stopped/.test(line));
    expect(lines).toEqual([
      'A shutdown was asked for: readiness is red, and new transactions are taken for 200 ms more',
      'Stopped: every transaction is settled',
    ]);
  });

  it('completes running transactions before it ends, and refuses new ones', async () => {
    const { promise: permission, resolve: permit } = Promise.withResolvers<void>();
    const participant = new ScriptedParticipant({ prepare: { until: permission } });
    const { application, transactions } = await withParticipant(participant);
    const running = transactions.run({ branches: [branch('p', 1)] });
    let closed = false;

    const closing = application.close().then(() => (closed = true));
    const status = application.get(CoordinatorStatus);
    await vi.waitUntil(() => !status.condition().accepting);
    await expect(transactions.run({ branches: [branch('p', 2)] })).rejects.toMatchObject({
      code: 'DTC_SHUTTING_DOWN',
    });
    expect(() => transactions.begin()).toThrow(expect.objectContaining({ code: 'DTC_SHUTTING_DOWN' }));
    expect(closed).toBe(false);
    permit();

    await expect(running).resolves.toMatchObject({ status: 'committed' });
    await closing;
    expect(participant.count('prepare')).toBe(1);
    expect(participant.count('commit')).toBe(1);
  });

  it('a transaction begun before takes branches and commits still', async () => {
    const participant = new ScriptedParticipant();
    const { application, transactions } = await withParticipant(participant);
    const transaction = transactions.begin();

    const closing = application.close();
    transaction.enlist(branch('p', 1));

    await expect(transaction.commit()).resolves.toMatchObject({ status: 'committed' });
    await closing;
  });

  it('retries and time-outs go on while it waits', async () => {
    const participant = ScriptedParticipant.flaky(2);
    const { application, transactions } = await withParticipant(participant, { retryBaseMs: 20 });
    const running = transactions.run({ branches: [branch('p', 1)] });

    await application.close();

    await expect(running).resolves.toMatchObject({ status: 'committed' });
    expect(participant.count('commit')).toBe(3);
  });

  it('waits no longer than the grace period, and logs the transactions that are not settled', async () => {
    const log = new LogRecorder();
    const options = { shutdownGraceMs: 40, timeoutMs: 60_000, prepareTimeoutMs: 60_000 };
    const { application, transactions } = await withParticipant(
      new ScriptedParticipant({ prepare: 'hang' }),
      options,
      log,
    );
    const running = transactions.run({ branches: [branch('p', 1)] });

    const startedAt = performance.now();
    await application.close();
    const { transactionId } = await running;

    const tookMs = performance.now() - startedAt;
    expect(tookMs).toBeGreaterThanOrEqual(39);
    expect(tookMs).toBeLessThan(5_000);
    // The start has warned that nothing listens for SIGTERM in a test.
    const lines = log.of('Coordinator').filter(({ level }) => level !== 'warn');
    expect(lines.map(({ level, text }) => [level, text])).toEqual([
      ['log', 'Waiting up to 40 ms for the transactions in flight: 1'],
      ['error', 'The grace period is over, and transactions are still in flight: 1'],
      ['error', `${transactionId} is ABORTING and not settled: its state is lost with this process`],
      // Its rollback has ended while the rest of the application was closed.
      ['log', 'Stopped: every transaction is settled'],
    ]);
  });

  it('a running recovery pass at a hanging participant does not outlast the grace period', async () => {
    const participant = new ScriptedParticipant({ commit: ['throw', 'hang'] });
    const options = { shutdownGraceMs: 40, maxAttempts: 1, completionTimeoutMs: 60_000 };
    const { application, transactions } = await withParticipant(participant, options);
    await transactions.run({ branches: [branch('p', 1)] });
    void recoverNow(application);
    await expect.poll(() => participant.count('commit')).toBe(2);

    const startedAt = performance.now();
    await application.close();

    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });

  it('a stalled transaction is not waited for, and is named in the log with its state', async () => {
    const log = new LogRecorder();
    const { application, transactions } = await withParticipant(
      new ScriptedParticipant({ commit: 'throw' }),
      { maxAttempts: 1 },
      log,
    );
    const { transactionId } = await transactions.run({ branches: [branch('p', 1)] });

    await application.close();

    expect(log.of('Coordinator', 'error').map(({ text }) => text)).toEqual([
      `${transactionId} is COMMITTING and not settled: its state is lost with this process`,
    ]);
  });

  it('stops both jobs and leaves no timer, also when it waited', async () => {
    const before = timers();
    const application = await startWith([], { name: 'shop' });
    const scheduler = application.get(SchedulerRegistry, { strict: false });
    const names = [...scheduler.getIntervals()];
    expect(names.toSorted()).toEqual(['shop.recovery', 'shop.sweep']);
    expect(timers()).toBe(before + 2);

    await application.close();

    expect(scheduler.getIntervals()).toEqual([]);
    expect(timers()).toBe(before);
  });

  it('closing twice does no harm', async () => {
    const { application } = await withParticipant(new ScriptedParticipant());

    await application.close();

    await expect(application.close()).resolves.toBeUndefined();
  });

  it('resources that participants close in onApplicationShutdown exist until the last transaction has ended', async () => {
    const order: string[] = [];
    @Injectable()
    class Pool implements OnApplicationShutdown {
      onApplicationShutdown(): void {
        order.push('pool closed');
      }
    }
    @Injectable()
    class Holder {
      constructor(@Inject(Pool) readonly pool: Pool) {}
    }
    const application = await startWith([Pool, Holder]);
    const participant = new ScriptedParticipant({ commit: { delayMs: 30 } });
    application.get(ParticipantRegistry).register(participant, { name: 'p' });
    const running = application
      .get(TransactionManager)
      .run({ branches: [branch('p', 1)] })
      .then(() => order.push('committed'));

    await application.close();
    await running;

    expect(order).toEqual(['committed', 'pool closed']);
  });

  it.each(['before', 'after'])(
    'a resource that a module imported %s the coordinator closes in onModuleDestroy is there until the last transaction is over',
    async (place) => {
      const order: string[] = [];
      @Injectable()
      class Pool implements OnModuleDestroy {
        onModuleDestroy(): void {
          order.push('pool closed');
        }
      }
      @Module({ providers: [Pool] })
      class DataModule {}
      const coordinator = CoordinatorModule.forRoot();
      const application = await start({
        imports: place === 'before' ? [DataModule, coordinator] : [coordinator, DataModule],
      });
      const { promise: permission, resolve: permit } = Promise.withResolvers<void>();
      const participant = new ScriptedParticipant({ commit: { until: permission } });
      application.get(ParticipantRegistry).register(participant, { name: 'p' });
      const running = application
        .get(TransactionManager)
        .run({ branches: [branch('p', 1)] })
        .then(() => order.push('committed'));

      const closing = application.close();
      const status = application.get(CoordinatorStatus);
      await vi.waitUntil(() => !status.condition().accepting);
      permit();
      await running;
      await closing;

      expect(order).toEqual(['committed', 'pool closed']);
    },
  );
});

/** Fails to commit the first time. */
@Participant({ name: 'flaky' })
class Flaky extends Willing {
  private commits = 0;

  override commit(): void {
    if (this.commits++ === 0) throw new Error('not yet');
  }
}

@Injectable()
class Seed {
  outcome: Outcome | undefined;

  constructor(@Inject(TransactionManager) private readonly transactions: TransactionManager) {}

  protected async sow(): Promise<void> {
    this.outcome = await this.transactions.run({ branches: [branch('flaky', 1), branch('alpha', 1)] });
  }
}

@Injectable()
class SeedAtInit extends Seed implements OnModuleInit {
  onModuleInit(): Promise<void> {
    return this.sow();
  }
}

@Injectable()
class SeedAtBootstrap extends Seed implements OnApplicationBootstrap {
  onApplicationBootstrap(): Promise<void> {
    return this.sow();
  }
}

describe('a start', () => {
  it.each([
    ['onModuleInit', SeedAtInit],
    ['onApplicationBootstrap', SeedAtBootstrap],
  ])('waits in %s for a transaction whose first commit fails, and which is tried again', async (_, seed) => {
    const application = await startWith([seed, Flaky, Alpha], { retryBaseMs: 5 });

    expect(application.get<Seed>(seed).outcome).toMatchObject({ status: 'committed' });
  });
});
