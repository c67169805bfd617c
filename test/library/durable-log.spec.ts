import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Injectable, Module, type OnModuleInit } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  CoordinatorModule,
  CoordinatorStatus,
  type DecisionLog,
  LogBrokenError,
  LogInUseError,
  Participant,
  ParticipantRegistry,
  TransactionManager,
  branch,
} from '../../src/coordinator/index.js';
import { OperationsModule } from '../../src/operations/index.js';
import { SqliteDecisionLog } from '../../src/sqlite/index.js';
import { ScriptedParticipant, recoverNow } from '../../src/coordinator/testing/index.js';
import { ScriptedLog } from '../faults/scripted-log.js';
import { startWith } from './support/applications.js';
import { LogRecorder } from './support/log-recorder.js';

let path: string;
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'durable-log-'));
});
afterEach(() => rmSync(path, { recursive: true }));

describe('An application with a durable log', () => {
  it('needs a name for its coordinator, and reports a missing one', async () => {
    const log = new SqliteDecisionLog({ path });

    await expect(startWith([], { log })).rejects.toThrow('name: is required with a durable log');

    const claim = await log.open('coordinator');
    expect(claim.decisions).toEqual([]);
    await log.close();
  });

  it('does not start on a log that another holds, and starts when that is closed', async () => {
    const first = await startWith([], { name: 'shop', log: new SqliteDecisionLog({ path }) });
    const second = () => startWith([], { name: 'shop', log: new SqliteDecisionLog({ path }) });

    await expect(second()).rejects.toThrow(LogInUseError);
    await first.close();

    expect((await second()).get(CoordinatorStatus).condition().accepting).toBe(true);
  });

  it('starts in the same process after a start that a participant has refused', async () => {
    @Participant({ name: 'choosy' })
    class Choosy extends ScriptedParticipant {
      static refuses = true;
      claim(): void {
        if (Choosy.refuses) throw new Error('this run is not let in');
      }
    }
    const begun: string[] = [];
    @Injectable()
    class Caller implements OnModuleInit {
      constructor(private readonly transactions: TransactionManager) {}
      onModuleInit(): void {
        begun.push(this.transactions.begin().id);
      }
    }
    @Module({})
    class Shop {}
    const application = () => {
      const log = new SqliteDecisionLog({ path });
      const imports = [CoordinatorModule.forRoot({ name: 'shop', shutdownGraceMs: 200, log })];
      const module = { module: Shop, imports, providers: [Choosy, Caller] };
      return NestFactory.createApplicationContext(module, { abortOnError: false, logger: false });
    };
    await expect(application()).rejects.toThrow('this run is not let in');
    Choosy.refuses = false;

    const second = await application();
    expect(begun).toHaveLength(2);
    await second.close();
  });

  describe.each(['onModuleInit', 'onApplicationBootstrap'] as const)(
    'after %s of another module has failed',
    (hook) => {
      /** The module of the application, and its log. */
      function setUp() {
        class Neighbour {
          [hook](): void {
            throw new Error('the neighbour is not well');
          }
        }
        @Module({ providers: [Neighbour] })
        class NeighbourModule {}
        const log = new SqliteDecisionLog({ path });
        const closes = vi.spyOn(log, 'close');
        @Module({
          imports: [CoordinatorModule.forRoot({ name: 'shop', shutdownGraceMs: 200, log }), NeighbourModule],
        })
        class Shop {}
        return { Shop, log, closes };
      }

      const options = { abortOnError: false, logger: false } as const;
      const startsAgain = async (): Promise<void> => {
        const next = await startWith([], { name: 'shop', log: new SqliteDecisionLog({ path }) });
        expect(next.get(CoordinatorStatus).condition().accepting).toBe(true);
        await next.close();
      };

      it('closing the application closes the log', async () => {
        const { Shop, closes } = setUp();
        const application = await NestFactory.create(Shop, new FastifyAdapter(), options);
        await expect(application.init()).rejects.toThrow('the neighbour is not well');
        await application.close();

        expect(closes).toHaveBeenCalledTimes(1);
        await startsAgain();
      });

      it('the log can be closed by its owner where Nest hands out no application', async () => {
        const { Shop, log } = setUp();
        await expect(NestFactory.createApplicationContext(Shop, options)).rejects.toThrow('is not well');
        const second = startWith([], { name: 'shop', log: new SqliteDecisionLog({ path }) });
        await expect(second).rejects.toThrow(LogInUseError);
        await log.close();

        await startsAgain();
      });
    },
  );

  it('closes a log whose answer makes no coordinator', async () => {
    const log = new SqliteDecisionLog({ path });
    const claim = await log.open('shop');
    await log.close();
    vi.spyOn(log, 'open').mockResolvedValueOnce({ ...claim, decisions: undefined as never });
    const closes = vi.spyOn(log, 'close');

    await expect(startWith([], { name: 'shop', log })).rejects.toThrow(TypeError);
    expect(closes).toHaveBeenCalledTimes(1);
  });

  it('may be closed after its start was refused, which closes the log once', async () => {
    @Participant({ name: 'choosy' })
    class Choosy extends ScriptedParticipant {
      claim(): void {
        throw new Error('this run is not let in');
      }
    }
    const log = new SqliteDecisionLog({ path });
    const closes = vi.spyOn(log, 'close');
    const module = await Test.createTestingModule({
      imports: [CoordinatorModule.forRoot({ name: 'shop', log })],
      providers: [Choosy],
    }).compile();

    await expect(module.init()).rejects.toThrow('this run is not let in');
    expect(closes).toHaveBeenCalledTimes(1);
    await module.close();
    expect(closes).toHaveBeenCalledTimes(1);
  });

  it('delivers the decisions of the previous run in its next run, and is ready only then', async () => {
    const stock = new ScriptedParticipant({ commit: 'throw' });
    @Participant({ name: 'stock', maxAttempts: 1 })
    class Stock extends ScriptedParticipant {
      override readonly prepare = stock.prepare.bind(stock);
      override readonly commit = stock.commit.bind(stock);
    }
    const options = () => ({ name: 'shop', log: new SqliteDecisionLog({ path }) });
    const first = await startWith([Stock], options());
    const outcome = await first.get(TransactionManager).run({ branches: [branch('stock', 1)] });
    expect(outcome.status).toBe('pending');
    await first.close();

    const gate = Promise.withResolvers<void>();
    stock.script = { commit: { until: gate.promise } };
    const log = new LogRecorder();
    const second = await startWith([Stock], options(), log);
    expect(second.get(CoordinatorStatus).condition()).toMatchObject({ accepting: true, recovering: true });
    gate.resolve();
    await recoverNow(second);

    expect(second.get(CoordinatorStatus).condition()).toMatchObject({ recovering: false, stalled: 0 });
    expect(second.get(TransactionManager).find(outcome.transactionId)?.state).toBe('COMMITTED');
    expect(
      log
        .of('Coordinator')
        .map(({ message }) => message)
        .join('\n'),
    ).toContain('Delivering the decisions of earlier runs: 1');
  });

  it('warns of a participant that is missing, and completes its branch when it comes', async () => {
    const stock = new ScriptedParticipant({ commit: 'throw' });
    const first = await startWith([], { name: 'shop', log: new SqliteDecisionLog({ path }) });
    first.get(ParticipantRegistry).register(stock, { name: 'stock', maxAttempts: 1 });
    const { transactionId } = await first.get(TransactionManager).run({ branches: [branch('stock', 1)] });
    await first.close();

    const log = new LogRecorder();
    const second = await startWith([], { name: 'shop', log: new SqliteDecisionLog({ path }) }, log);
    await recoverNow(second);
    expect(
      log
        .of('Coordinator')
        .map(({ message }) => message)
        .join('\n'),
    ).toContain('"stock" has branches to complete and is not registered');
    second.get(ParticipantRegistry).register(new ScriptedParticipant(), { name: 'stock' });
    await recoverNow(second);

    expect(second.get(TransactionManager).find(transactionId)?.state).toBe('COMMITTED');
  });
});

describe('A start that takes long', () => {
  it('fault 52 §: takes no decision of the log for one that was never made, however often the job comes by', async () => {
    const stock = new ScriptedParticipant({ commit: 'throw' });
    const options = () => ({
      name: 'shop',
      log: new SqliteDecisionLog({ path }),
      recoveryIntervalMs: 1,
      orphanSafetyMs: 1,
    });
    const first = await startWith([], options());
    first.get(ParticipantRegistry).register(stock, { name: 'stock', maxAttempts: 1 });
    const { transactionId } = await first.get(TransactionManager).run({ branches: [branch('stock', 1)] });
    await first.close();
    stock.script = {};
    stock.calls.length = 0;

    let scans = 0;
    @Participant({ name: 'stock' })
    class Stock extends ScriptedParticipant {
      override readonly commit = stock.commit.bind(stock);
      override readonly rollback = stock.rollback.bind(stock);
      recover() {
        scans++;
        return [{ transactionId, branchId: 'stock' }];
      }
    }
    class Slow {
      async onModuleInit(): Promise<void> {
        const before = scans;
        // The jobs run meanwhile, many times over.
        await new Promise((resolve) => setTimeout(resolve, 50));
        expect(scans).toBe(before);
      }
    }
    const second = await startWith([Stock, Slow], options());
    await recoverNow(second);

    expect(stock.calls.map(({ method }) => method)).not.toContain('rollback');
    expect(second.get(TransactionManager).find(transactionId)?.state).toBe('COMMITTED');
  });
});

describe('Health', () => {
  async function http(log: DecisionLog): Promise<NestFastifyApplication> {
    const module = await Test.createTestingModule({
      imports: [CoordinatorModule.forRoot({ name: 'shop', log, shutdownGraceMs: 20 }), OperationsModule],
    })
      .setLogger(new LogRecorder())
      .compile();
    const app = module.createNestApplication<NestFastifyApplication>(new FastifyAdapter());
    await app.init();
    return app;
  }

  it.each([
    ['is not ready, but lives, while the log takes no records', new Error('no space left'), 503, 200],
    ['lives no more when only a restart can tell what the log holds', new LogBrokenError('EIO'), 503, 503],
  ])('%s', async (_, error, ready, live) => {
    const log = new ScriptedLog({
      append: () => Promise.reject(error),
      lookUp: () => Promise.reject(error),
      check: () => Promise.reject(error),
    });
    const app = await http(log);
    const get = async (url: string) => (await app.inject({ url })).statusCode;
    app.get(ParticipantRegistry).register(new ScriptedParticipant(), { name: 'stock' });
    expect([await get('/health/ready'), await get('/health/live')]).toEqual([200, 200]);

    const transaction = app.get(TransactionManager).begin({ timeoutMs: 50 });
    transaction.enlist(branch('stock', 1));
    expect((await transaction.commit()).status).toBe('pending');
    await recoverNow(app);

    expect([await get('/health/ready'), await get('/health/live')]).toEqual([ready, live]);
    await app.close();
  });
});
