import { Injectable, Module } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import {
  CoordinatorModule,
  Participant,
  ParticipantRegistry,
  TransactionManager,
  branch,
} from '../../src/coordinator/index.js';
import { start, startWith } from './support/applications.js';
import { LogRecorder } from './support/log-recorder.js';
import { Alpha, Beta, Willing } from './support/participants.js';

describe('discovery of participants', () => {
  it('finds decorated providers in every module, exported or not, however deep', async () => {
    @Module({ providers: [Alpha] })
    class Deep {}

    @Module({ imports: [Deep], providers: [Beta] })
    class Feature {}

    const application = await start({ imports: [Feature, CoordinatorModule.forRoot()] });

    const registered = application.get(ParticipantRegistry).list();
    expect(registered.map(({ name }) => name).toSorted()).toEqual(['alpha', 'beta']);
    const transactions = application.get(TransactionManager);
    const outcome = await transactions.run({ branches: [branch(Alpha, 1), branch('beta', 2)] });
    expect(outcome.status).toBe('committed');
    expect(application.get(Alpha, { strict: false }).prepared).toEqual([outcome.transactionId]);
    expect(application.get(Beta, { strict: false }).prepared).toEqual([outcome.transactionId]);
  });

  it('finds a participant in whichever way it is provided: by class, under a token, or made by a factory', async () => {
    const application = await startWith([
      { provide: 'A', useClass: Alpha },
      { provide: 'B', useFactory: () => Promise.resolve(new Beta()) },
    ]);

    const registry = application.get(ParticipantRegistry);
    expect(registry.get(Alpha).instance).toBe(application.get('A'));
    expect(registry.get(Beta).instance).toBe(application.get('B'));
  });

  it('registers the instance that Nest made, with its injected providers', async () => {
    @Injectable()
    class Stock {
      readonly left = 7;
    }

    @Participant({ name: 'warehouse' })
    class Warehouse extends Willing {
      constructor(readonly stock: Stock) {
        super();
      }
    }

    const application = await startWith([Stock, Warehouse]);

    const { instance } = application.get(ParticipantRegistry).get('warehouse');
    expect(instance).toBe(application.get(Warehouse));
    expect((instance as unknown as Warehouse).stock.left).toBe(7);
  });

  it('leaves providers without the decorator alone', async () => {
    @Injectable()
    class Undecorated extends Willing {}

    const application = await startWith([Undecorated, Alpha]);

    expect(application.get(ParticipantRegistry).list()).toHaveLength(1);
  });

  it('passes over values that are of no class', async () => {
    const application = await startWith([
      Alpha,
      { provide: 'nothing', useValue: undefined },
      { provide: 'bare', useValue: Object.create(null) },
    ]);

    expect(
      application
        .get(ParticipantRegistry)
        .list()
        .map(({ name }) => name),
    ).toEqual(['alpha']);
  });

  it('registers one instance under two tokens once', async () => {
    const application = await startWith([Alpha, { provide: 'ALIAS', useExisting: Alpha }]);

    expect(application.get(ParticipantRegistry).list()).toHaveLength(1);
  });
});

describe('the log at start-up', () => {
  it('has one line for each participant, with its name, class and limits', async () => {
    @Participant({ name: 'gamma', prepareTimeoutMs: 70, completionTimeoutMs: 80, maxAttempts: 9 })
    class Gamma extends Willing {
      commitOnePhase(): 'commit' {
        return 'commit';
      }
    }

    const log = new LogRecorder();
    await startWith([Alpha, Gamma], { prepareTimeoutMs: 111, completionTimeoutMs: 222, maxAttempts: 3 }, log);

    expect(log.of('ParticipantRegistry').map(({ level, message }) => [level, message])).toEqual([
      ['log', 'Participant "alpha" (Alpha): prepare within 111 ms, 3 attempts of 222 ms to complete'],
      [
        'log',
        'Participant "gamma" (Gamma): prepare within 70 ms, 9 attempts of 80 ms to complete, one-phase',
      ],
    ]);
  });
});
