import { Transport } from '@nestjs/microservices';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemoryReplicaGuardStore } from '../../../src/host/index.js';
import { Books, ledgerOf } from '../../remote/support/ledger.js';
import { redisRig } from '../support/broker-rigs.js';
import { isInstalled } from '../support/brokers.js';
import { ask, call, messageOf, nextId, transportConformance } from '../support/conformance.js';
import { ALL_YES, answersWhileOneStops } from '../support/leaving.js';
import { startMicroservice } from '../support/rig.js';

const installed = isInstalled('redis-server');

transportConformance(redisRig(), installed);

describe.runIf(installed)('Two replicas of a host at Redis', () => {
  const rig = redisRig();
  beforeAll(() => rig.start());
  afterAll(() => rig.close());

  it('stand in for each other: when one has stopped, the other one serves', async () => {
    const guard = new MemoryReplicaGuardStore();
    const ledgers = [ledgerOf('stock', new Books())];
    const [first, second] = [await rig.host(ledgers, { guard }), await rig.host(ledgers, { guard })];
    const transport = rig.transport();
    const prepare = (): Promise<unknown[]> => ask(transport, messageOf([call('prepare', nextId())]));
    expect(await prepare()).toEqual([{ id: 0, kind: 'vote', vote: 'commit' }]);
    expect(first.calls() + second.calls()).toBe(1);
    const [serving, other] = first.calls() === 1 ? [first, second] : [second, first];
    await serving.stop();
    expect(await prepare()).toEqual([{ id: 0, kind: 'vote', vote: 'commit' }]);
    expect(other.calls()).toBe(1);
    await other.stop();
    await transport.close();
  });

  it('take no further message once they stop, and finish those that they have', async () => {
    expect(await answersWhileOneStops(rig)).toEqual(ALL_YES);
  });

  it('do nothing twice without RedisHostServer, although each one takes every message', async () => {
    const guard = new MemoryReplicaGuardStore();
    const books = new Books();
    const options = { host: '127.0.0.1', port: rig.broker!.port };
    const start = () =>
      startMicroservice(
        [ledgerOf('stock', books)],
        { transport: Transport.REDIS, options },
        { guard },
        'stock.calls',
      );
    const replicas = [await start(), await start()];
    const transport = rig.transport();
    const id = nextId();
    await ask(transport, messageOf([call('prepare', id)]));
    await expect.poll(() => replicas.map((replica) => replica.calls())).toEqual([1, 1]);
    await expect.poll(() => books.prepared.size).toBe(1);
    await ask(transport, messageOf([call('commit', id)]));
    await expect.poll(() => replicas.map((replica) => replica.calls())).toEqual([2, 2]);
    await expect.poll(() => books.balance).toBe(1);
    expect(books.calls).toEqual(['prepare', 'commit']);
    await Promise.all(replicas.map((replica) => replica.stop()));
    await transport.close();
  });
});
