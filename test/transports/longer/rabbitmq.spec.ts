import { setTimeout as wait } from 'node:timers/promises';
import { Transport } from '@nestjs/microservices';
import { type Channel, connect } from 'amqplib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemoryReplicaGuardStore } from '../../../src/host/index.js';
import { Books, ledgerOf } from '../../remote/support/ledger.js';
import { Balancer } from '../support/balancer.js';
import { rabbitMqRig } from '../support/broker-rigs.js';
import { isInstalled } from '../support/brokers.js';
import { START_MS, ask, call, messageOf, nextId, transportConformance } from '../support/conformance.js';
import { ALL_YES, answersWhileOneStops } from '../support/leaving.js';
import { type Replica, transportOver } from '../support/rig.js';

const installed = isInstalled('rabbitmq-server');

transportConformance(rabbitMqRig(), installed);

describe.runIf(installed)('The queue of a host at RabbitMQ', () => {
  const rig = rabbitMqRig();
  const books = new Books();
  let observer: Awaited<ReturnType<typeof connect>>;
  let observes = false;
  let channel: Channel;
  let host: Replica | undefined;

  beforeAll(async () => {
    await rig.start();
    observer = await connect(`amqp://127.0.0.1:${rig.broker!.port}`);
    observes = true;
    channel = await observer.createChannel();
    await channel.assertQueue(rig.queue);
  }, START_MS);
  afterAll(async () => {
    await host?.stop();
    if (observes) await observer.close();
    await rig.close();
  });
  const waiting = (): Promise<number> =>
    channel.checkQueue(rig.queue).then(({ messageCount }) => messageCount);

  it('drops a message that no host has taken in its time', async () => {
    const transport = rig.transport();
    const sent = ask(transport, messageOf([call('prepare', nextId())]), { timeLeftMs: 1_000 });
    const ended = sent.then(String, String);
    await expect.poll(waiting).toBe(1);
    expect(await ended).toContain('no answer within 1000 ms');
    await expect.poll(waiting).toBe(0);
    await transport.close();
  });

  it('does no harm with a prepare that it has kept until its transaction is over', async () => {
    const transport = rig.transport();
    const id = nextId();
    const sent = ask(transport, messageOf([call('prepare', id)]), { timeLeftMs: 1_000 });
    const ended = sent.then(String, String);
    await expect.poll(waiting).toBe(1);
    const kept = await channel.get(rig.queue, { noAck: true });
    if (kept === false) throw new Error('The message has expired.');
    expect(await ended).toContain('no answer within');
    host = await rig.host([ledgerOf('stock', books)], { guard: new MemoryReplicaGuardStore() });
    expect(await ask(transport, messageOf([call('rollback', id)]))).toEqual([{ id: 0, kind: 'done' }]);
    const served = host.calls();
    const { correlationId, replyTo } = kept.properties as { correlationId: string; replyTo: string };
    channel.sendToQueue(rig.queue, kept.content, { correlationId, replyTo });
    await expect.poll(() => host!.calls()).toBe(served + 1);
    expect(books.calls).toEqual([]);
    await transport.close();
  });

  it('gives a host that stops no further message, and the host finishes those that it has', async () => {
    await host!.stop();
    expect(await answersWhileOneStops(rig)).toEqual(ALL_YES);
    host = await rig.host([ledgerOf('stock', books)], { guard: new MemoryReplicaGuardStore() });
  });

  it('does not get a message again whose connection has broken while it was sent', async () => {
    const balancer = await Balancer.open();
    balancer.add(rig.broker!.port);
    const urls = [`amqp://127.0.0.1:${balancer.port}`];
    const transport = transportOver(
      { transport: Transport.RMQ, options: { urls, queue: rig.queue } },
      undefined,
      'stock.calls',
    );
    expect(await ask(transport, messageOf([call('rollback', nextId())]))).toHaveLength(1);
    balancer.freeze();
    const id = nextId();
    const ended = ask(transport, messageOf([call('prepare', id)]), { timeLeftMs: 30_000 }).then(
      String,
      String,
    );
    await wait(100);
    balancer.cut();
    expect(await ended).toContain('the connection was lost');
    // The next message takes another connection.
    const rollback = messageOf([call('rollback', id)]);
    const answered = (): Promise<unknown> => ask(transport, rollback, { timeLeftMs: 1_000 }).catch(() => []);
    await expect.poll(answered, { timeout: 20_000 }).toEqual([{ id: 0, kind: 'done' }]);
    expect(books.calls).toEqual([]);
    await transport.close();
    await balancer.close();
  });

  it('may be answered with anything, which ends a message and nothing else', async () => {
    await host!.stop();
    host = undefined;
    const strange = await observer.createChannel();
    const texts = ['no JSON', 'null', '5', '{"id":7}'];
    await strange.consume(
      rig.queue,
      (message) => {
        const { correlationId, replyTo } = message!.properties as { correlationId: string; replyTo: string };
        strange.sendToQueue(replyTo, Buffer.from(texts.pop()!), { correlationId });
        strange.sendToQueue(replyTo, Buffer.from('{}'), { correlationId: 'another' });
      },
      { noAck: true },
    );
    const transport = rig.transport();
    while (texts.length > 0) {
      const sent = ask(transport, messageOf([call('prepare', nextId())]), { timeLeftMs: 1_000 });
      expect(await sent.catch(() => [])).toEqual([]);
    }
    await strange.close();
    await transport.close();
  });

  it(
    'loses its messages when the broker restarts, and is there again',
    async () => {
      const transport = rig.transport();
      const sent = ask(transport, messageOf([call('prepare', nextId())]), { timeLeftMs: 60_000 });
      const ended = sent.then(String, String);
      await expect.poll(waiting).toBe(1);
      await observer.close();
      observes = false;
      await rig.cut();
      expect(await ended).toMatch(/^Error: (?!no answer within)/);
      observer = await connect(`amqp://127.0.0.1:${rig.broker!.port}`);
      observes = true;
      channel = await observer.createChannel();
      expect(await waiting()).toBe(0);
      await transport.close();
    },
    START_MS,
  );
});
