import { ConsoleLogger } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  CoordinatorMembers,
  CoordinatorModule,
  type DatabaseInspection,
  ParticipantRegistry,
  TransactionManager,
  branch,
} from '../../coordinator/index.js';
import { ScriptedParticipant, settled } from '../../coordinator/testing/index.js';
import { OperationsModule } from '../operations.module.js';
import { DatabaseWatch } from './database-watch.js';

/** A participant with a database, whose content a test sets. */
class WithDatabase extends ScriptedParticipant {
  readonly signals: AbortSignal[] = [];
  answer: () => unknown = () => this.shows();
  ids: string[] = [];

  inspect(signal: AbortSignal): Promise<DatabaseInspection> {
    this.signals.push(signal);
    return this.answer() as Promise<DatabaseInspection>;
  }

  shows(place = 'one'): DatabaseInspection {
    const prepared = this.ids.map((transactionId) => ({
      id: `${transactionId}/bank/bank`,
      branch: { transactionId, participant: 'bank', branchId: 'bank' },
      ageMs: 1_000,
      owner: 'app',
      database: 'shop',
      session: null,
      statements: { commit: 'COMMIT;', rollback: 'ROLLBACK;', how: 'as app' },
    }));
    const title = 'PostgreSQL 18, database "shop"';
    return {
      place,
      title,
      prepared,
      preparedTotal: this.ids.length,
      waits: [],
      waitsTotal: 0,
      notes: [],
    };
  }
}

let module: TestingModule;
let watch: DatabaseWatch;
let bank: WithDatabase;

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  module = await Test.createTestingModule({
    imports: [CoordinatorModule.forRoot({ maxAttempts: 1, shutdownGraceMs: 1 }), OperationsModule],
  })
    .setLogger(new ConsoleLogger({ logLevels: [] }))
    .compile();
  await module.init();
  watch = module.get(DatabaseWatch);
  bank = new WithDatabase({ commit: ['throw', 'yes'] });
  module.get(ParticipantRegistry).register(bank, { name: 'bank' });
});
afterEach(async () => {
  vi.useRealTimers();
  await module.close();
});

describe('The databases of the participants', () => {
  it('are shown with what the coordinator knows of each prepared transaction, and the statement that agrees', async () => {
    const transactions = module.get(TransactionManager);
    const { transactionId } = await transactions.run({ name: 'sale', branches: [branch('bank', 1)] });
    const open = transactions.begin({ name: 'open' });
    const { name, logId } = module.get(CoordinatorMembers).own;
    bank.ids = [transactionId, open.id, `${name}.another0log0.1.1`, `${name}.${logId}.1.999`];

    const { databases, unseen } = await watch.now();
    expect(unseen).toEqual([]);
    expect(databases).toMatchObject([
      { title: 'PostgreSQL 18, database "shop"', participants: ['bank'], problem: null, preparedTotal: 4 },
    ]);
    expect(
      databases[0]!.prepared.map(({ knowledge, statement, how }) => [knowledge, statement, how]),
    ).toEqual([
      ['commit', 'COMMIT;', 'as app'],
      ['open', null, null],
      ['unknown', null, null],
      ['open', null, null],
    ]);
    await open.rollback();
  });

  it('are asked once for all readers, and again only after some seconds', async () => {
    const both = await Promise.all([watch.now(), watch.now()]);
    expect(both[1]).toBe(both[0]);
    vi.advanceTimersByTime(4_900);
    expect(await watch.now()).toBe(both[0]);
    expect(bank.signals).toHaveLength(1);
    vi.advanceTimersByTime(200);
    expect(await watch.now()).not.toBe(both[0]);
    expect(bank.signals).toHaveLength(2);
  });

  it('are not waited for without end, nor asked again while an answer is still to come', async () => {
    const hanging = Promise.withResolvers<unknown>();
    bank.answer = () => hanging.promise;
    const late = watch.now();
    await settled();
    vi.advanceTimersByTime(4_000);
    const problemOf = async (): Promise<string | null> => (await watch.now()).databases[0]!.problem;
    expect((await late).databases).toMatchObject([
      { title: 'The database of bank', problem: 'It has not answered within 4000 ms.', prepared: [] },
    ]);
    expect(bank.signals[0]!.aborted).toBe(true);
    vi.advanceTimersByTime(5_100);
    expect(await problemOf()).toBe('It has not answered an earlier question yet.');
    expect(bank.signals).toHaveLength(1);

    hanging.resolve(bank.shows());
    await settled();
    vi.advanceTimersByTime(5_100);
    expect(await problemOf()).toBeNull();
  });

  it('show why one cannot be seen, whatever its participant does', async () => {
    const registry = module.get(ParticipantRegistry);
    const [wrong, throwing] = [new WithDatabase(), new WithDatabase()];
    wrong.answer = () => ({ ...wrong.shows(), prepared: 'all' });
    throwing.answer = () => {
      throw new Error('the server is down');
    };
    registry.register(wrong, { name: 'wrong' });
    registry.register(throwing, { name: 'throwing' });
    registry.register(new ScriptedParticipant(), { name: 'plain' });
    registry.register(Object.assign(new ScriptedParticipant(), { remoteAddress: 'http://far' }), {
      name: 'far',
    });

    const { databases, unseen } = await watch.now();
    expect(databases.map(({ participants, problem }) => [participants, problem])).toEqual([
      [['bank'], null],
      [['wrong'], expect.stringMatching(/^Its inspect\(\) has answered with a wrong prepared: /)],
      [['throwing'], 'the server is down'],
    ]);
    expect(unseen).toEqual([
      { participant: 'plain', why: 'It has no method inspect().' },
      {
        participant: 'far',
        why: 'It is in another process, at http://far. Look into its database there.',
      },
    ]);
  });

  it('are looked up in the log only so often for one answer', async () => {
    const { name, logId } = module.get(CoordinatorMembers).own;
    bank.ids = Array.from({ length: 205 }, (_, index) => `${name}.${logId}.1.${index + 1}`);
    const asked = vi.spyOn(module.get(TransactionManager), 'decisionFor');
    const [database] = (await watch.now()).databases;
    expect(asked).toHaveBeenCalledTimes(200);
    expect(database!.prepared.slice(-5)).toMatchObject(
      Array.from({ length: 5 }, () => ({ knowledge: 'unknown', statement: null })),
    );
  });

  it('are shown without what the log does not say in time', async () => {
    const { name, logId } = module.get(CoordinatorMembers).own;
    bank.ids = Array.from({ length: 6 }, (_, index) => `${name}.${logId}.1.${index + 1}`);
    const asked = vi
      .spyOn(module.get(TransactionManager), 'decisionFor')
      .mockImplementation(() => new Promise(() => {}));
    const answer = watch.now();
    await settled();
    vi.advanceTimersByTime(4_000);
    const [database] = (await answer).databases;
    expect(database!.prepared).toMatchObject(
      Array.from({ length: 6 }, () => ({
        knowledge: 'unknown',
        why: 'The log, or the member that owns it, has not answered within 4000 ms.',
        statement: null,
      })),
    );
    expect(asked).toHaveBeenCalledTimes(4);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('are no longer waited for when the application ends', async () => {
    bank.answer = () => new Promise(() => {});
    const asked = watch.now();
    await settled();
    watch.beforeApplicationShutdown();
    expect((await asked).databases).toMatchObject([{ problem: 'The application ends.' }]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
