import { ConsoleLogger } from '@nestjs/common';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CoordinatorModule, ParticipantRegistry, TransactionManager, branch } from '../coordinator/index.js';
import { OperationsModule } from './operations.module.js';
import type { Overview } from './overview-stream.js';
import { ScriptedParticipant } from '../coordinator/testing/index.js';

const ALICE = 'the-token-of-alice-1';
const BOB = 'the-token-of-bob-1';

let app: NestFastifyApplication;
let url: string;
const open: AbortController[] = [];

beforeEach(async () => {
  const imports = [
    CoordinatorModule.forRoot({ maxAttempts: 1 }),
    OperationsModule.forRoot({
      readers: 'anyone',
      operators: [
        { name: 'alice', token: ALICE },
        { name: 'bob', token: BOB },
      ],
    }),
  ];
  const module = await Test.createTestingModule({ imports })
    .setLogger(new ConsoleLogger({ logLevels: [] }))
    .compile();
  app = module.createNestApplication<NestFastifyApplication>(
    new FastifyAdapter({ forceCloseConnections: true }),
  );
  await app.listen(0, '127.0.0.1');
  url = await app.getUrl();
});
afterEach(async () => {
  for (const controller of open.splice(0)) controller.abort();
  await app.close();
});

async function connect(token?: string): Promise<Response> {
  const controller = new AbortController();
  open.push(controller);
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return fetch(`${url}/events`, { signal: controller.signal, headers });
}

/** @returns the events of a stream, one by one. */
async function* eventsOf(response: Response): AsyncGenerator<{ event: string; data: unknown }> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of response.body!) {
    text += decoder.decode(chunk, { stream: true });
    const messages = text.split('\n\n');
    text = messages.pop()!;
    for (const message of messages) {
      const data = /^data: (.*)$/m.exec(message)?.[1];
      const event = /^event: (.*)$/m.exec(message)?.[1];
      if (data !== undefined && event !== undefined) yield { event, data: JSON.parse(data) };
    }
  }
}

describe('The stream of events', () => {
  it('starts at once with an overview, which lists transactions that need attention first, and continues', async () => {
    app.get(ParticipantRegistry).register(new ScriptedParticipant({ commit: 'throw' }), { name: 'failing' });
    const { transactionId } = await app
      .get(TransactionManager)
      .run({ name: 'sale', branches: [branch('failing', 'the secret payload')] });
    const response = await connect();
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
    const events = eventsOf(response);

    const first = await events.next();
    expect(first.value).toEqual({
      event: 'overview',
      data: {
        at: expect.any(String) as unknown,
        coordinator: expect.objectContaining({
          name: 'coordinator',
          durable: false,
          condition: expect.objectContaining({ stalled: 1 }) as unknown,
        }) as unknown,
        members: expect.objectContaining({ shared: false, members: [] }) as unknown,
        alarms: [expect.objectContaining({ name: 'DtcStalled', count: 1, oldest: transactionId })],
        alarmsTotal: 1,
        participants: [expect.objectContaining({ name: 'failing' })],
      },
    });
    expect(JSON.stringify(first.value)).not.toContain('secret');
    expect((await events.next()).value).toMatchObject({ event: 'overview' });
  });

  /** There is one a second. */
  const EVENTS = 4;

  it('stays below 10 kB a second for each viewer with 1,000 open problems, and tells of all of them', async () => {
    const registry = app.get(ParticipantRegistry);
    const names = Array.from({ length: 10 }, (_, index) => `participant-${index}`);
    for (const name of names) registry.register(new ScriptedParticipant({ commit: 'throw' }), { name });
    const transactions = app.get(TransactionManager);
    for (let started = 0; started < 1_000; started++) {
      await transactions.run({
        name: 'sale',
        branches: [branch(names[started % 10]!, started), branch(names[(started + 1) % 10]!, started)],
      });
    }
    const response = await connect();
    let bytes = 0;
    let events = 0;
    const decoder = new TextDecoder();
    let text = '';
    for await (const chunk of response.body!) {
      const part = decoder.decode(chunk, { stream: true });
      text += part;
      events += part.split('event: overview').length - 1;
      // The first event, which is whole, comes once in five minutes.
      if (events > 1) bytes += chunk.byteLength;
      if (events === EVENTS) break;
    }
    const first = JSON.parse(/^data: (.*)$/m.exec(text)![1]!) as Overview;
    expect(first.coordinator.condition.stalled).toBe(1_000);
    const stalled = first.alarms.filter(({ unit }) => unit === 'transactions');
    expect(stalled.reduce((sum, { count }) => sum + count, 0)).toBe(2_000);
    expect(bytes / (EVENTS - 1)).toBeGreaterThan(100);
    expect(bytes / (EVENTS - 1)).toBeLessThan(10_000);
  }, 30_000);

  it('is refused beyond ten of one caller, which excludes no other, and beyond twenty in all', async () => {
    const streams = await Promise.all(Array.from({ length: 10 }, () => connect()));
    expect(streams.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 200));
    const refused = await connect();
    expect([refused.status, await refused.json()]).toMatchObject([503, { code: 'DTC_TOO_MANY_STREAMS' }]);

    for (const token of [ALICE, BOB, BOB]) expect((await connect(token)).status).toBe(200);
    await Promise.all(Array.from({ length: 7 }, () => connect(BOB)));
    expect((await connect(ALICE)).status).toBe(503);

    open[0]!.abort();
    await expect.poll(async () => (await connect()).status).toBe(200);
  });

  it('ends with the application', async () => {
    const events = eventsOf(await connect());
    await events.next();
    const closing = app.close();
    let event = await events.next();
    while (!event.done) event = await events.next();
    await closing;
    expect(event.done).toBe(true);
  });
});
