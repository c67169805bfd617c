import { Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { EventEmitter2, EventEmitterModule, OnEvent } from '@nestjs/event-emitter';
import { Test, type TestingModule } from '@nestjs/testing';
import { beforeEach, describe, expect, expectTypeOf, it } from 'vitest';
import {
  CoordinatorModule,
  CoordinatorStatus,
  Participant,
  ParticipantRegistry,
  TRANSACTION_EVENTS,
  type TransactionAbortedEvent,
  type TransactionCommittedEvent,
  type TransactionEventPayloads,
  type TransactionExpiringEvent,
  type TransactionHeuristicEvent,
  TransactionManager,
  type TransactionPendingEvent,
  type TransactionStalledEvent,
  branch,
} from '../../src/coordinator/index.js';
import {
  ManualClock,
  type ParticipantScript,
  ScriptedParticipant,
  recoverNow,
  settled,
} from '../../src/coordinator/testing/index.js';
import { ScriptedLog } from '../faults/scripted-log.js';
import { DECIDER, claimOf, idOf } from '../support/identity.js';
import { initialise, start } from './support/applications.js';
import { LogRecorder } from './support/log-recorder.js';

@Injectable()
class Listeners {
  readonly heard: { name: string; event: object }[] = [];

  constructor(@Inject(EventEmitter2) readonly emitter: EventEmitter2) {}

  @OnEvent(TRANSACTION_EVENTS.committed)
  committed(event: TransactionCommittedEvent): void {
    this.heard.push({ name: 'committed', event });
  }

  @OnEvent(TRANSACTION_EVENTS.aborted)
  aborted(event: TransactionAbortedEvent): void {
    this.heard.push({ name: 'aborted', event });
  }

  @OnEvent(TRANSACTION_EVENTS.pending)
  pending(event: TransactionPendingEvent): void {
    this.heard.push({ name: 'pending', event });
  }

  @OnEvent(TRANSACTION_EVENTS.stalled)
  stalled(event: TransactionStalledEvent): void {
    this.heard.push({ name: 'stalled', event });
  }

  @OnEvent(TRANSACTION_EVENTS.heuristic)
  heuristic(event: TransactionHeuristicEvent): void {
    this.heard.push({ name: 'heuristic', event });
  }

  @OnEvent(TRANSACTION_EVENTS.expiring)
  expiring(event: TransactionExpiringEvent): void {
    this.heard.push({ name: 'expiring', event });
  }
}

let clock: ManualClock;
let log: LogRecorder;
let application: TestingModule;
let transactions: TransactionManager;
let emitter: EventEmitter2;

beforeEach(async () => {
  clock = new ManualClock();
  log = new LogRecorder();
  const coordinator = CoordinatorModule.forRoot({
    clock,
    maxAttempts: 2,
    retryBaseMs: 20,
    random: () => 0.5,
  });
  const imports = [EventEmitterModule.forRoot(), coordinator];
  application = await start({ imports, providers: [Listeners] }, log);
  transactions = application.get(TransactionManager);
  ({ emitter } = application.get(Listeners));
});

function participant(name: string, script: ParticipantScript): ScriptedParticipant {
  const scripted = new ScriptedParticipant(script, clock);
  application.get(ParticipantRegistry).register(scripted, { name });
  return scripted;
}

function heard(): { name: string; event: object }[] {
  return application.get(Listeners).heard;
}

const SECRET = { card: '4111 1111 1111 1111' };

describe('events', () => {
  it('bear the names, and have the payload types, that the package exports', () => {
    expect(TRANSACTION_EVENTS).toEqual({
      committed: 'transaction.committed',
      aborted: 'transaction.aborted',
      pending: 'transaction.pending',
      stalled: 'transaction.stalled',
      heuristic: 'transaction.heuristic',
      expiring: 'transaction.expiring',
    });
    expectTypeOf<TransactionEventPayloads>().toEqualTypeOf<{
      readonly 'transaction.committed': TransactionCommittedEvent;
      readonly 'transaction.aborted': TransactionAbortedEvent;
      readonly 'transaction.pending': TransactionPendingEvent;
      readonly 'transaction.stalled': TransactionStalledEvent;
      readonly 'transaction.heuristic': TransactionHeuristicEvent;
      readonly 'transaction.expiring': TransactionExpiringEvent;
    }>();
  });

  it('committed: once every participant has, with the duration and without a payload', async () => {
    participant('a', { commit: { delayMs: 30 } });
    participant('b', {});

    const running = transactions.run({ name: 'sale', branches: [branch('a', SECRET), branch('b', SECRET)] });
    await settled();
    expect(heard()).toEqual([]);
    await clock.advance(30);

    const { transactionId } = await running;
    const event: TransactionCommittedEvent = {
      transactionId,
      name: 'sale',
      branches: ['a', 'b'],
      durationMs: 30,
    };
    expect(heard()).toEqual([{ name: 'committed', event }]);
  });

  it('aborted: once every branch is rolled back, with cause and reason', async () => {
    participant('a', { rollback: { delayMs: 20 } });
    participant('b', { prepare: { refuse: 'SOLD_OUT', reason: 'none left' } });

    const outcome = await transactions.run({ branches: [branch('a', SECRET), branch('b', SECRET)] });
    expect(outcome.status).toBe('aborted');
    expect(heard()).toEqual([]);
    await clock.advance(20);

    const event: TransactionAbortedEvent = {
      transactionId: outcome.transactionId,
      name: 'transaction',
      branches: ['a', 'b'],
      durationMs: 20,
      cause: 'refused',
      reason: 'none left',
    };
    expect(heard()).toEqual([{ name: 'aborted', event }]);
  });

  it('stalled and pending when the attempts are used up, committed when the branch has recovered', async () => {
    participant('a', { commit: ['throw', 'throw', 'yes'] });

    const running = transactions.run({ name: 'sale', branches: [branch('a', SECRET)] });
    await settled();
    await clock.advance(20);
    const { transactionId } = await running;
    await recoverNow(application);

    const common = { transactionId, name: 'sale', branches: ['a'] };
    const pending: TransactionPendingEvent = {
      ...common,
      decision: 'commit',
      reason: 'commit is decided, and a has yet to acknowledge it',
    };
    const stalled: TransactionStalledEvent = {
      ...common,
      branchId: 'a',
      participant: 'a',
      attempts: 2,
      lastError: 'scripted failure',
    };
    const committed: TransactionCommittedEvent = { ...common, durationMs: 20 };
    expect(heard()).toEqual([
      { name: 'pending', event: pending },
      { name: 'stalled', event: stalled },
      { name: 'committed', event: committed },
    ]);
  });

  it('heuristic: for the branch that ended otherwise; there is no committed event', async () => {
    participant('a', { commit: { heuristic: 'rollback' } });
    participant('b', {});

    const outcome = await transactions.run({ branches: [branch('a', SECRET), branch('b', SECRET)] });

    expect(outcome.status).toBe('heuristic');
    const event: TransactionHeuristicEvent = {
      transactionId: outcome.transactionId,
      name: 'transaction',
      branches: ['a', 'b'],
      branchId: 'a',
      participant: 'a',
      kind: 'rollback',
      reason: 'scripted',
    };
    expect(heard()).toEqual([{ name: 'heuristic', event }]);
  });

  it('expiring: once the vote of a branch that is not completed expires soon', async () => {
    participant('a', {
      prepare: { answer: { vote: 'commit', validForMs: 2_000 } },
      commit: ['throw', 'throw', 'yes'],
    });
    participant('b', {});
    const expiresAt = clock.epochMs + clock.now() + 2_000;

    const running = transactions.run({ branches: [branch('a', SECRET), branch('b', SECRET)] });
    await clock.advance(990);
    const { transactionId } = await running;
    expect(heard().map(({ name }) => name)).not.toContain('expiring');
    await clock.advance(10);

    const event: TransactionExpiringEvent = {
      transactionId,
      name: 'transaction',
      branches: ['a', 'b'],
      branchId: 'a',
      participant: 'a',
      expiresAt,
      leftMs: 1_000,
      decision: 'commit',
    };
    expect(heard().filter(({ name }) => name === 'expiring')).toEqual([{ name: 'expiring', event }]);
  });
});

describe('events during the start of the application', () => {
  @Participant({ name: 'well' })
  class Well extends ScriptedParticipant {}

  @Participant({ name: 'ill', maxAttempts: 1 })
  class Ill extends ScriptedParticipant {
    constructor() {
      super({ commit: 'throw' });
    }
  }

  @Participant({ name: 'odd' })
  class Odd extends ScriptedParticipant {
    constructor() {
      super({ commit: { heuristic: 'rollback' } });
    }
  }

  /** Runs transactions in the last hook of the start that modules have. */
  @Injectable()
  class EarlyBird implements OnApplicationBootstrap {
    constructor(@Inject(TransactionManager) private readonly manager: TransactionManager) {}

    async onApplicationBootstrap(): Promise<void> {
      await this.manager.run({ name: 'early', branches: [branch('well', 1)] });
      await this.manager.run({ name: 'early and stuck', branches: [branch('ill', 1)] });
      await this.manager.run({ name: 'early and in vain', branches: [branch(Refusing, 1)] });
      // Longer than anything that the coordinator does by itself takes.
      await settled();
    }
  }

  @Participant({ name: 'refusing' })
  class Refusing extends ScriptedParticipant {
    constructor() {
      super({ prepare: 'no' });
    }
  }

  /** Decisions of an earlier run: they are delivered while this one starts. */
  function leftBehind(...participants: string[]): ScriptedLog {
    const decisions = participants.map((name, index) => ({
      id: idOf('shop', 1, index + 1),
      name: `left to ${name}`,
      decider: DECIDER,
      branches: [{ branchId: name, participant: name, payload: 1, completed: false }],
    }));
    return new ScriptedLog({ claim: claimOf({ epoch: 2, decisions }) });
  }

  it.each([
    ['first', true],
    ['last', false],
  ])('is told to every listener, once, also where the coordinator is imported %s', async (_, isFirst) => {
    const coordinator = CoordinatorModule.forRoot({ name: 'shop', log: leftBehind('well', 'odd') });
    const emitting = EventEmitterModule.forRoot();
    const imports = isFirst ? [coordinator, emitting] : [emitting, coordinator];
    const providers = [Listeners, Well, Ill, Odd, Refusing, EarlyBird];

    const other = await start({ imports, providers });

    const told = other
      .get(Listeners)
      .heard.map(({ name, event }) => `${name}: ${(event as { name: string }).name}`);
    expect(told.toSorted()).toEqual([
      'aborted: early and in vain',
      'committed: early',
      'committed: left to well',
      'heuristic: left to odd',
      'pending: early and stuck',
      'stalled: early and stuck',
    ]);
  });

  it('keeps events up to its limit, and reports how many were lost', async () => {
    const coordinator = CoordinatorModule.forRoot();
    const recorder = new LogRecorder();
    const imports = [coordinator, EventEmitterModule.forRoot()];
    const module = Test.createTestingModule({ imports, providers: [Listeners] }).setLogger(recorder);
    const other = await module.compile();
    const manager = other.get(TransactionManager);
    for (let times = 0; times < 10_002; times++) await manager.run({ branches: [] });

    await initialise(other);

    expect(other.get(Listeners).heard).toHaveLength(10_000);
    expect(recorder.of('TransactionEvents', 'error').map(({ message }) => message)).toEqual([
      'Events during the start were lost, because more than 10000 waited: 2',
    ]);
  });
});

describe('a broken listener', () => {
  const breaks: [how: string, listener: () => unknown][] = [
    [
      'throws',
      () => {
        throw new Error('broken listener');
      },
    ],
    ['rejects', () => Promise.reject(new Error('broken listener'))],
  ];

  for (const [how, listener] of breaks) {
    it(`that ${how} changes no outcome, keeps the event from no other listener, and is logged`, async () => {
      participant('a', {});
      const others: string[] = [];
      emitter.on('transaction.committed', listener);
      emitter.on('transaction.committed', () => others.push('after'));
      emitter.prependListener('transaction.committed', () => others.push('before'));

      const outcome = await transactions.run({ branches: [branch('a', 1)] });
      await settled();

      expect(outcome.status).toBe('committed');
      expect(others).toEqual(['before', 'after']);
      expect(heard().map(({ name }) => name)).toEqual(['committed']);
      expect(
        log.of('TransactionEvents').map(({ level, message }) => [level, { ...(message as object) }]),
      ).toEqual([
        [
          'error',
          {
            msg: 'A listener of transaction.committed failed: broken listener',
            transactionId: outcome.transactionId,
            name: 'transaction',
          },
        ],
      ]);
      expect(application.get(CoordinatorStatus).statistics().defects).toBe(0);
    });
  }

  it('of every kind at once: each is logged, and the next transaction is as good as the first', async () => {
    participant('a', {});
    for (const [, listener] of breaks) emitter.on('transaction.committed', listener);
    emitter.onAny(breaks[0]![1]);

    await transactions.run({ branches: [branch('a', 1)] });
    await transactions.run({ branches: [branch('a', 2)] });
    await settled();

    expect(log.of('TransactionEvents', 'error')).toHaveLength(6);
    expect(heard()).toHaveLength(2);
  });

  it('that never answers does not delay the transaction', async () => {
    participant('a', {});
    const never: () => unknown = () => new Promise(() => {});
    emitter.on('transaction.committed', never);

    await expect(transactions.run({ branches: [branch('a', 1)] })).resolves.toMatchObject({
      status: 'committed',
    });
  });

  it('that is decorated and throws is logged by Nest and does no harm either', async () => {
    @Injectable()
    class Broken {
      @OnEvent('transaction.committed')
      committed(): void {
        throw new Error('broken method');
      }
    }
    const imports = [EventEmitterModule.forRoot(), CoordinatorModule.forRoot()];
    const other = await start({ imports, providers: [Broken, Listeners] }, log);

    const outcome = await other.get(TransactionManager).run({ branches: [] });
    await settled();

    expect(outcome.status).toBe('committed');
    expect(other.get(Listeners).heard.map(({ name }) => name)).toEqual(['committed']);
    expect(log.of('Event', 'error').map(({ message }) => message)).toEqual(['broken method']);
  });
});

describe('a listener for one event', () => {
  it('is called once, and the later listeners as well', async () => {
    const calls: string[] = [];
    emitter.once('transaction.committed', () => calls.push('once'));
    emitter.on('transaction.committed', () => calls.push('always'));

    await transactions.run({ branches: [] });
    await transactions.run({ branches: [] });

    expect(calls).toEqual(['once', 'always', 'always']);
  });

  it('may start the next transaction', async () => {
    participant('a', {});
    const next = new Promise((resolve) => {
      emitter.once('transaction.committed', () => resolve(transactions.run({ branches: [branch('a', 2)] })));
    });

    await transactions.run({ branches: [branch('a', 1)] });

    await expect(next).resolves.toMatchObject({ status: 'committed' });
  });
});
