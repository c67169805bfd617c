import { Transport } from '@nestjs/microservices';
import { afterEach, describe, expect, it } from 'vitest';
import { MemoryReplicaGuardStore } from '../../../src/host/index.js';
import type { MicroserviceClientOptions } from '../../../src/microservices/index.js';
import { Books, ledgerOf } from '../../remote/support/ledger.js';
import { Balancer } from '../support/balancer.js';
import { natsRig, redisRig } from '../support/broker-rigs.js';
import { isInstalled } from '../support/brokers.js';
import { ask, call, messageOf, nextId } from '../support/conformance.js';
import { type Rig, transportOver } from '../support/rig.js';
import { grpcRig } from '../support/tcp-rig.js';

const open: { close(): void | Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).toReversed()) await one.close();
});

/**
 * The connection of a coordinator stays open, and nothing comes through it any more.
 *
 * @returns how a message ends that is sent through it. Later ones are answered, through another connection.
 */
async function hang(
  rig: Rig,
  portOf: () => number,
  client: (port: number) => MicroserviceClientOptions,
): Promise<string> {
  await rig.start();
  open.push(rig);
  const host = await rig.host([ledgerOf('stock', new Books())], { guard: new MemoryReplicaGuardStore() });
  open.push({ close: () => host.stop() });
  const balancer = await Balancer.open();
  open.push(balancer);
  balancer.add(portOf());
  const transport = transportOver(client(balancer.port), undefined, 'stock.calls');
  open.push(transport);
  const prepare = (timeLeftMs: number): Promise<string> =>
    ask(transport, messageOf([call('prepare', nextId())]), { timeLeftMs }).then(
      () => 'answered',
      (error: unknown) => String(error),
    );
  expect(await prepare(10_000)).toBe('answered');
  const before = balancer.accepted;
  balancer.freeze();
  const ended = await prepare(60_000);
  await expect.poll(() => prepare(1_000)).toBe('answered');
  expect(balancer.accepted).toBeGreaterThan(before);
  return ended;
}

describe('A connection that hangs is found', () => {
  it('by pings over gRPC', async () => {
    const rig = grpcRig();
    const keepalive = { keepaliveTimeMs: 300, keepaliveTimeoutMs: 300 };
    const ended = await hang(
      rig,
      () => rig.balancer.port,
      (port) => ({ transport: Transport.GRPC, options: { url: `127.0.0.1:${port}`, keepalive } }),
    );
    expect(ended).toMatch(/^Error: (?!no answer within)/);
  });

  it.runIf(isInstalled('nats-server'))('by pings at NATS', async () => {
    const rig = natsRig();
    const ended = await hang(
      rig,
      () => rig.broker!.port,
      (port) => ({
        transport: Transport.NATS,
        options: {
          servers: `nats://127.0.0.1:${port}`,
          ignoreClusterUpdates: true,
          pingInterval: 200,
          maxPingOut: 2,
          reconnectTimeWait: 50,
        },
      }),
    );
    expect(ended).toMatch(/^Error: (?!no answer within)/);
  });

  it.runIf(isInstalled('redis-server'))('by the time of a command at Redis', async () => {
    const rig = redisRig();
    const ended = await hang(
      rig,
      () => rig.broker!.port,
      (port) => ({
        transport: Transport.REDIS,
        options: { host: '127.0.0.1', port, socketTimeout: 300 },
      }),
    );
    expect(ended).toMatch(/^Error: (?!no answer within)/);
  });
});
