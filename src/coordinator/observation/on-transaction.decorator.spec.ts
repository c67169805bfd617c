import { Injectable, Module } from '@nestjs/common';
import { EventEmitter2, EventEmitterModule } from '@nestjs/event-emitter';
import { Test } from '@nestjs/testing';
import { describe, expect, it } from 'vitest';
import { LogRecorder } from '../../../test/library/support/log-recorder.js';
import { CoordinatorModule, OnTransaction, TRANSACTION_EVENTS, TransactionManager } from '../index.js';
import type {
  TransactionAbortedEvent,
  TransactionCommittedEvent,
  TransactionEvent,
  TransactionHeuristicEvent,
  TransactionPendingEvent,
  TransactionStalledEvent,
} from './events.js';

@Injectable()
class Listeners {
  readonly heard: [method: string, event: TransactionEvent][] = [];

  @OnTransaction('committed')
  committed(event: TransactionCommittedEvent): void {
    this.heard.push(['committed', event]);
  }

  @OnTransaction('aborted')
  async aborted(event: TransactionAbortedEvent): Promise<void> {
    this.heard.push(['aborted', event]);
  }

  @OnTransaction('pending')
  pending(event: TransactionPendingEvent): void {
    this.heard.push(['pending', event]);
  }

  @OnTransaction('stalled')
  stalled(event: TransactionStalledEvent): void {
    this.heard.push(['stalled', event]);
  }

  @OnTransaction('heuristic', { prependListener: true })
  heuristic(event: TransactionHeuristicEvent): void {
    this.heard.push(['heuristic', event]);
  }

  @OnTransaction('expiring')
  expiring(event: TransactionEvent): void {
    this.heard.push(['expiring', event]);
  }

  @OnTransaction('committed')
  @OnTransaction('aborted')
  both(event: TransactionEvent): void {
    this.heard.push(['both', event]);
  }
}

describe('@OnTransaction', () => {
  it('listens to the event that it names, and to no other', async () => {
    const application = await Test.createTestingModule({
      imports: [EventEmitterModule.forRoot(), CoordinatorModule.forRoot()],
      providers: [Listeners],
    }).compile();
    await application.init();
    const transactions = application.get(TransactionManager);

    await transactions.run({ name: 'sale', branches: [] });
    await transactions.begin().rollback();
    await application.close();

    const { heard } = application.get(Listeners);
    expect(heard.map(([method, { name }]) => [method, name])).toEqual([
      ['committed', 'sale'],
      ['both', 'sale'],
      ['aborted', 'transaction'],
      ['both', 'transaction'],
    ]);
  });

  it('works for every event', async () => {
    const application = await Test.createTestingModule({
      imports: [EventEmitterModule.forRoot(), CoordinatorModule.forRoot()],
      providers: [Listeners],
    }).compile();
    await application.init();
    const emitter = application.get(EventEmitter2);

    for (const event of Object.values(TRANSACTION_EVENTS)) emitter.emit(event, { name: event });

    const heard = application.get(Listeners).heard.filter(([method]) => method !== 'both');
    expect(heard).toEqual(
      Object.entries(TRANSACTION_EVENTS).map(([method, event]) => [method, { name: event }]),
    );
    await application.close();
  });

  it('is called once for each event, however many applications the class has been in', async () => {
    @Injectable()
    class Heir extends Listeners {}
    for (const provider of [Listeners, Heir]) {
      const application = await Test.createTestingModule({
        imports: [CoordinatorModule.forRoot(), EventEmitterModule.forRoot()],
        providers: [provider],
      }).compile();
      await application.init();

      await application.get(TransactionManager).run({ branches: [] });
      await application.close();

      const { heard } = application.get<Listeners>(provider);
      expect(heard.map(([method]) => method)).toEqual(['committed', 'both']);
    }
  });

  it('hears the emitter of the application, and not one that a module has made for itself', async () => {
    @Module({ providers: [{ provide: EventEmitter2, useValue: new EventEmitter2() }] })
    class Private {}
    const application = await Test.createTestingModule({
      imports: [Private, CoordinatorModule.forRoot(), EventEmitterModule.forRoot()],
      providers: [Listeners],
    }).compile();
    await application.init();

    await application.get(TransactionManager).run({ branches: [] });
    await application.close();

    expect(application.get(Listeners).heard.map(([method]) => method)).toEqual(['committed', 'both']);
  });

  it('is named in a warning when the application has no event emitter', async () => {
    const log = new LogRecorder();
    const application = await Test.createTestingModule({
      imports: [CoordinatorModule.forRoot()],
      providers: [Listeners],
    })
      .setLogger(log)
      .compile();
    await application.init();
    await application.close();

    expect(log.of('EventListeners').map(({ level, message }) => [level, message])).toEqual([
      [
        'warn',
        'Listeners.committed, Listeners.aborted, Listeners.pending, Listeners.stalled, Listeners.heuristic, Listeners.expiring, ' +
          'Listeners.both: decorated with @OnTransaction, and never called, because the application has no event ' +
          'emitter. Install @nestjs/event-emitter and import EventEmitterModule.forRoot() in the root module.',
      ],
    ]);
  });

  it('makes the compiler check the name of the event and the parameter of the method', () => {
    class Wrong {
      // @ts-expect-error there is no such event
      @OnTransaction('finished')
      finished(): void {}

      // @ts-expect-error an event of another kind
      @OnTransaction('committed')
      committed(_event: TransactionStalledEvent): void {}

      // @ts-expect-error it would find no second argument
      @OnTransaction('aborted')
      aborted(_event: TransactionAbortedEvent, _more: string): void {}

      @OnTransaction('stalled')
      takesLess({ participant }: Pick<TransactionStalledEvent, 'participant'>): string {
        return participant;
      }
    }

    expect(new Wrong()).toBeDefined();
  });
});
