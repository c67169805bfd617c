import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemoryReplicaGuardStore } from '../../src/host/index.js';
import { NatsHostServer } from '../../src/microservices/index.js';
import { Books, ledgerOf } from '../remote/support/ledger.js';
import { natsRig } from './support/broker-rigs.js';
import { isInstalled } from './support/brokers.js';
import { ask, call, messageOf, nextId } from './support/conformance.js';
import { ALL_YES, answersWhileOneStops } from './support/leaving.js';
import { startMicroserviceAlone } from './support/rig.js';

/** `test/transports/longer` has the whole suite. */
describe.runIf(isInstalled('nats-server'))('Hosts at NATS', () => {
  const rig = natsRig();
  beforeAll(() => rig.start());
  afterAll(() => rig.close());

  it('share the messages, and take each one once', async () => {
    const guard = new MemoryReplicaGuardStore();
    const books = new Books();
    const ledgers = [ledgerOf('stock', books)];
    const replicas = await Promise.all([rig.host(ledgers, { guard }), rig.host(ledgers, { guard })]);
    const transport = rig.transport();
    const count = 40;
    for (let sent = 0; sent < count; sent++) {
      const answer = await ask(transport, messageOf([call('prepare', nextId())]));
      expect(answer).toEqual([{ id: 0, kind: 'vote', vote: 'commit' }]);
    }
    const served = replicas.map((replica) => replica.calls());
    expect(served[0]! + served[1]!).toBe(count);
    expect(Math.min(...served)).toBeGreaterThan(0);
    await transport.close();
    await Promise.all(replicas.map((replica) => replica.stop()));
  });

  it('take no further message once they stop, and finish those that they have', async () => {
    expect(await answersWhileOneStops(rig)).toEqual(ALL_YES);
  });

  it('answer the calls at work before their microservice is closed, without HTTP beside it too', async () => {
    const books = new Books();
    const gate = Promise.withResolvers<undefined>();
    books.scripts.prepare = () => gate.promise;
    const host = await startMicroserviceAlone(
      [ledgerOf('stock', books)],
      { strategy: new NatsHostServer({ servers: `nats://127.0.0.1:${rig.broker!.port}` }) },
      { guard: new MemoryReplicaGuardStore(), shutdownGraceMs: 20_000 },
      'stock.calls',
    );
    const transport = rig.transport();
    const running = ask(transport, messageOf([call('prepare', nextId())]));
    await expect.poll(() => books.of('prepare')).toBe(1);
    const closed = host.stop();
    await expect.poll(() => host.view?.().status).toBe('stopping');
    gate.resolve(undefined);
    expect(await running).toEqual([{ id: 0, kind: 'vote', vote: 'commit' }]);
    await closed;
    await transport.close();
  });

  it('end their messages at once when the broker stops, and are called again when it is back', async () => {
    const books = new Books();
    const host = await rig.host([ledgerOf('stock', books)], { guard: new MemoryReplicaGuardStore() });
    const gate = Promise.withResolvers<undefined>();
    books.scripts.prepare = () => gate.promise;
    const transport = rig.transport();
    const id = nextId();
    const running = ask(transport, messageOf([call('prepare', id)])).then(String, String);
    await expect.poll(() => books.of('prepare')).toBe(1);
    await rig.cut();
    expect(await running).toMatch(/^Error: (?!no answer within)/);
    gate.resolve(undefined);
    const rollback = (): Promise<unknown> =>
      ask(transport, messageOf([call('rollback', id)])).catch(() => []);
    await expect.poll(rollback).toEqual([{ id: 0, kind: 'done' }]);
    await transport.close();
    await host.stop();
  });

  it('end their messages, and nothing else, when their answers are no packets of Nest', async () => {
    const texts = ['no JSON', 'null', '5', '{"id":7}', '{"err":null,"isDisposed":true}'];
    const given = [...texts];
    const server = await connect({ servers: `nats://127.0.0.1:${rig.broker!.port}` });
    server.subscribe('stock.calls', { callback: (_error, message) => void message.respond(given.pop()) });
    await server.flush();
    const transport = rig.transport();
    const answers: unknown[] = [];
    const sent = texts.map(() =>
      transport.send(messageOf([call('prepare', nextId())]), (answer) => answers.push(answer), 300, 'work'),
    );
    await Promise.allSettled(sent);
    expect([answers, given]).toEqual([[], []]);
    await transport.close();
    await server.close();
  });
});
