import { Injectable } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CoordinatorModule, DistributedTransaction, OnTransaction } from '../../src/coordinator/index.js';
import { start } from './support/applications.js';
import { LogRecorder } from './support/log-recorder.js';

@Injectable()
class Audit {
  @OnTransaction('committed')
  committed(): void {}

  @OnTransaction('aborted')
  @DistributedTransaction()
  async aborted(): Promise<void> {}
}

let log: LogRecorder;
const warnings = (): string[] => log.entries.filter(({ level }) => level === 'warn').map(({ text }) => text);

/** What enableShutdownHooks() leaves behind. */
const listener = (): void => {};

/** Signals are looked at when the program has had its turn. */
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

beforeEach(() => {
  log = new LogRecorder();
});

describe('At the start', () => {
  beforeEach(() => void process.on('SIGTERM', listener));
  afterEach(async () => {
    await nextTurn();
    process.off('SIGTERM', listener);
  });

  it('an application without a problem gets no warning', async () => {
    await start(
      { imports: [EventEmitterModule.forRoot(), CoordinatorModule.forRoot()], providers: [Audit] },
      log,
    );

    expect(warnings()).toEqual([]);
  });

  it('@OnTransaction without an event emitter is a warning that names the methods and the module', async () => {
    await start({ imports: [CoordinatorModule.forRoot()], providers: [Audit] }, log);

    expect(warnings()).toEqual([
      'Audit.committed, Audit.aborted: decorated with @OnTransaction, and never called, because the application has no event ' +
        'emitter. Install @nestjs/event-emitter and import EventEmitterModule.forRoot() in the root module.',
    ]);
  });

  it('an application without listeners needs no event emitter', async () => {
    await start({ imports: [CoordinatorModule.forRoot()] }, log);

    expect(warnings()).toEqual([]);
  });

  it('two coordinators in one application are one warning', async () => {
    await start(
      { imports: [CoordinatorModule.forRoot({ name: 'one' }), CoordinatorModule.forRoot({ name: 'two' })] },
      log,
    );

    expect(warnings()).toEqual([
      expect.stringMatching(
        /^The application has 2 coordinators, .*Import CoordinatorModule\.forRoot\(\) .* once/,
      ),
    ]);
  });
});

describe('Without a listener of SIGTERM', () => {
  const others = new Map<NodeJS.Signals, NodeJS.SignalsListener[]>();

  beforeEach(() => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      others.set(signal, process.listeners(signal));
      process.removeAllListeners(signal);
    }
  });
  afterEach(() => {
    process.off('SIGINT', listener);
    for (const [signal, listeners] of others) for (const each of listeners) process.on(signal, each);
  });

  it.each<NodeJS.Signals[][]>([[[]], [['SIGINT']]])(
    'the start warns that transactions in flight would be cut off: %j',
    async (signals) => {
      for (const signal of signals) process.on(signal, listener);
      await start({ imports: [CoordinatorModule.forRoot()] }, log);
      await nextTurn();

      expect(warnings()).toEqual([
        expect.stringMatching(
          /^Nothing in this process listens to SIGTERM, .*Call app\.enableShutdownHooks\(\) before app\.listen\(\)/,
        ),
      ]);
    },
  );

  it('an application with shutdown hooks gets no warning', async () => {
    const { Test } = await import('@nestjs/testing');
    const application = await Test.createTestingModule({ imports: [CoordinatorModule.forRoot()] })
      .setLogger(log)
      .compile();
    application.enableShutdownHooks();
    await application.init();
    await nextTurn();

    expect(warnings()).toEqual([]);
    await application.close();
  });

  it('an application context gets no warning, because its program handles the signals by itself', async () => {
    const context = await NestFactory.createApplicationContext(CoordinatorModule.forRoot(), { logger: log });
    context.enableShutdownHooks();
    await nextTurn();

    expect(warnings()).toEqual([]);
    await context.close();
  });
});
