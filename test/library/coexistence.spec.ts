import { Inject, Injectable, Module } from '@nestjs/common';
import { EventEmitter2, EventEmitterModule, OnEvent } from '@nestjs/event-emitter';
import { Interval, ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import { Test } from '@nestjs/testing';
import { describe, expect, it } from 'vitest';
import {
  CoordinatorModule,
  CoordinatorStatus,
  ParticipantRegistry,
  TransactionManager,
  branch,
} from '../../src/coordinator/index.js';
import { ScriptedParticipant } from '../../src/coordinator/testing/index.js';
import { start, startWith } from './support/applications.js';
import { LogRecorder } from './support/log-recorder.js';
import { Alpha } from './support/participants.js';
import { timers } from './support/timers.js';

/** How often `setInterval` is called while `work` runs, by the interval it is given. */
async function intervalsStartedBy(work: () => Promise<unknown>): Promise<number[]> {
  const started: number[] = [];
  const { setInterval } = globalThis;
  globalThis.setInterval = ((callback: () => void, ms: number) => {
    started.push(ms);
    return setInterval(callback, ms);
  }) as typeof setInterval;
  try {
    await work();
  } finally {
    globalThis.setInterval = setInterval;
  }
  return started;
}

@Injectable()
class Audit {
  readonly heard: string[] = [];

  constructor(@Inject(EventEmitter2) readonly emitter: EventEmitter2) {}

  @OnEvent('transaction.committed')
  committed(): void {
    this.heard.push('committed');
  }

  @OnEvent('shop.opened')
  opened(): void {
    this.heard.push('opened');
  }
}

@Injectable()
class Job {
  @Interval('user.job', 12_345)
  run(): void {}
}

describe("beside the application's own ScheduleModule", () => {
  const orders = { before: [0, 1], after: [1, 0] } as const;
  for (const [place, order] of Object.entries(orders)) {
    it(`imported ${place} the coordinator, each job of the application is started once`, async () => {
      const modules = [ScheduleModule.forRoot(), CoordinatorModule.forRoot({ recoveryIntervalMs: 6_543 })];
      const started = await intervalsStartedBy(() =>
        start({ imports: order.map((index) => modules[index]!), providers: [Job] }),
      );

      expect(started.filter((ms) => ms === 12_345)).toHaveLength(1);
      expect(started.filter((ms) => ms === 6_543)).toHaveLength(1);
    });
  }

  it('every module of the application gets the one registry with its jobs', async () => {
    @Injectable()
    class Elsewhere {
      constructor(@Inject(SchedulerRegistry) readonly scheduler: SchedulerRegistry) {}
    }
    @Module({ providers: [Elsewhere] })
    class Feature {}

    for (const order of Object.values(orders)) {
      const modules = [ScheduleModule.forRoot(), CoordinatorModule.forRoot()];
      const application = await start({
        imports: [...order.map((index) => modules[index]!), Feature],
        providers: [Job],
      });
      const { scheduler } = application.get(Elsewhere, { strict: false });
      expect(scheduler.doesExist('interval', 'user.job')).toBe(true);
    }
  });
});

describe("beside the application's own EventEmitterModule", () => {
  it('each listener receives each event of the coordinator, and of the application, exactly once', async () => {
    const application = await start({
      imports: [EventEmitterModule.forRoot(), CoordinatorModule.forRoot()],
      providers: [Audit, Alpha],
    });

    await application.get(TransactionManager).run({ branches: [branch(Alpha, 1)] });
    await application.get(Audit).emitter.emitAsync('shop.opened');

    expect(application.get(Audit).heard).toEqual(['committed', 'opened']);
  });

  it("listeners added to the application's emitter hear the coordinator, in its own style of names", async () => {
    const application = await start({
      imports: [CoordinatorModule.forRoot(), EventEmitterModule.forRoot({ wildcard: true })],
      providers: [Audit],
    });
    const heard: unknown[] = [];
    const { emitter } = application.get(Audit);
    emitter.on('transaction.*', (event: unknown) => heard.push(event));
    emitter.onAny((name: unknown) => heard.push(name));

    const { transactionId } = await application.get(TransactionManager).run({ branches: [] });

    expect(heard).toEqual(['transaction.committed', expect.objectContaining({ transactionId })]);
    expect(application.get(Audit).heard).toEqual(['committed']);
  });

  it('every module of the application gets the one emitter, and so does who asks the application', async () => {
    @Injectable()
    class Elsewhere {
      constructor(@Inject(EventEmitter2) readonly emitter: EventEmitter2) {}
    }
    @Module({ providers: [Elsewhere] })
    class Feature {}
    @Injectable()
    class AtRoot {
      constructor(@Inject(EventEmitter2) readonly emitter: EventEmitter2) {}
    }

    const application = await start({
      imports: [CoordinatorModule.forRoot(), EventEmitterModule.forRoot(), Feature],
      providers: [AtRoot],
    });

    const { emitter } = application.get(Elsewhere, { strict: false });
    expect(emitter).toBe(application.get(AtRoot).emitter);
    expect(application.get(EventEmitter2)).toBe(emitter);
  });

  it('without one, there is no listener, and nothing fails', async () => {
    const application = await startWith([Alpha]);

    await expect(
      application.get(TransactionManager).run({ branches: [branch(Alpha, 1)] }),
    ).resolves.toMatchObject({ status: 'committed' });
    expect(application.get(CoordinatorStatus).statistics().defects).toBe(0);
  });

  it('that is not global is found as well', async () => {
    const application = await start({
      imports: [CoordinatorModule.forRoot(), EventEmitterModule.forRoot({ global: false })],
      providers: [Audit],
    });

    await application.get(TransactionManager).run({ branches: [] });

    expect(application.get(Audit).heard).toEqual(['committed']);
  });
});

describe('CoordinatorModule imported twice', () => {
  it('stops the start with the remedy, and leaves no timer', async () => {
    const before = timers();
    const application = await Test.createTestingModule({
      imports: [CoordinatorModule.forRoot(), CoordinatorModule.forRoot()],
    })
      .setLogger(new LogRecorder())
      .compile();

    await expect(application.init()).rejects.toThrow(
      'A job "coordinator.sweep" already exists. Import CoordinatorModule only once in an application.',
    );

    await application.close();
    expect(timers()).toBe(before);
  });
});

describe('two applications in one process', () => {
  it('share no participants, transactions, counters or shutdown', async () => {
    const first = await startWith([Alpha]);
    const second = await startWith([]);
    const stranger = new ScriptedParticipant();
    second.get(ParticipantRegistry).register(stranger, { name: 'alpha' });

    const outcome = await first.get(TransactionManager).run({ branches: [branch(Alpha, 1)] });

    expect(stranger.calls).toEqual([]);
    expect(second.get(TransactionManager).find(outcome.transactionId)).toBeUndefined();
    expect(second.get(TransactionManager).list()).toEqual([]);
    expect(first.get(CoordinatorStatus).statistics().committed).toBe(1);
    expect(second.get(CoordinatorStatus).statistics().committed).toBe(0);

    await first.close();
    await expect(first.get(TransactionManager).run({ branches: [] })).rejects.toMatchObject({
      code: 'DTC_SHUTTING_DOWN',
    });
    await expect(
      second.get(TransactionManager).run({ branches: [branch('alpha', 1)] }),
    ).resolves.toMatchObject({ status: 'committed' });
  });
});
