import { ServerCredentials, credentials } from '@grpc/grpc-js';
import { type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemoryReplicaGuardStore } from '../../../src/host/index.js';
import {
  GRPC_HOST,
  type MicroserviceClientOptions,
  NatsHostServer,
  RabbitMqHostServer,
  RedisHostServer,
} from '../../../src/microservices/index.js';
import { Books, ledgerOf } from '../../remote/support/ledger.js';
import { type Issued, TestAuthority } from '../../support/test-authority.js';
import { isInstalled, natsServer, rabbitMq, redisServer } from '../support/brokers.js';
import { START_MS, ask, call, messageOf, nextId } from '../support/conformance.js';
import { startMicroservice, transportOver } from '../support/rig.js';
import { freePort } from '../../../src/postgres-server/free-port.js';

describe('Certificates of the transports of Nest', () => {
  let folder: string;
  let own: TestAuthority;
  let other: TestAuthority;
  let issued: Issued;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tls-'));
    [own, other] = [await TestAuthority.make('own'), await TestAuthority.make('another')];
    issued = await own.issue();
    for (const [name, text] of Object.entries({ cert: issued.cert, key: issued.key, ca: own.ca }))
      writeFileSync(join(folder, name), text);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /**
   * The token of a coordinator goes only to a host, or a broker, whose certificate is of the right authority.
   */
  async function check(server: MicroserviceOptions, client: (ca: string) => MicroserviceClientOptions) {
    const books = new Books();
    const guard = new MemoryReplicaGuardStore();
    const host = await startMicroservice([ledgerOf('stock', books)], server, { guard });
    const right = transportOver(client(own.ca));
    const wrong = transportOver(client(other.ca));
    const prepare = (): string => messageOf([call('prepare', nextId())]);
    const refused = await ask(wrong, prepare(), { timeLeftMs: 3_000 }).then(() => 'answered', String);
    const served = books.of('prepare');
    const answers = await ask(right, prepare());
    await Promise.all([right.close(), wrong.close()]);
    await host.stop();
    return { refused, served, answers };
  }
  const SECURE = {
    refused: expect.stringContaining('Error'),
    served: 0,
    answers: [{ id: 0, kind: 'vote', vote: 'commit' }],
  };

  it('are checked over TCP', async () => {
    const port = await freePort();
    const address = { host: '127.0.0.1', port };
    const result = await check(
      { transport: Transport.TCP, options: { ...address, tlsOptions: issued } },
      (ca) => ({
        transport: Transport.TCP,
        options: { ...address, tlsOptions: { ca } },
      }),
    );
    expect(result).toEqual(SECURE);
  });

  it('are checked over gRPC', async () => {
    const url = `localhost:${await freePort()}`;
    const pair = { cert_chain: Buffer.from(issued.cert), private_key: Buffer.from(issued.key) };
    const result = await check(
      {
        transport: Transport.GRPC,
        options: { ...GRPC_HOST, url, credentials: ServerCredentials.createSsl(null, [pair]) },
      },
      (ca) => ({
        transport: Transport.GRPC,
        options: { url, credentials: credentials.createSsl(Buffer.from(ca)) },
      }),
    );
    expect(result).toEqual(SECURE);
  });

  it.runIf(isInstalled('nats-server'))('are checked at NATS', async () => {
    const broker = await natsServer([
      '--tls',
      '--tlscert',
      join(folder, 'cert'),
      '--tlskey',
      join(folder, 'key'),
    ]);
    await broker.start();
    const options = (ca: string) => ({ servers: `nats://localhost:${broker.port}`, tls: { ca } });
    const result = await check({ strategy: new NatsHostServer(options(own.ca)) }, (ca) => ({
      transport: Transport.NATS,
      options: options(ca),
    }));
    expect(result).toEqual(SECURE);
    await broker.close();
  });

  const pathsOfTls = () => ({ ca: join(folder, 'ca'), cert: join(folder, 'cert'), key: join(folder, 'key') });

  it.runIf(isInstalled('redis-server'))('are checked at Redis', async () => {
    const broker = await redisServer(pathsOfTls());
    await broker.start();
    const options = (ca: string) => ({ host: 'localhost', port: broker.port, tls: { ca }, retryDelay: 50 });
    const result = await check({ strategy: new RedisHostServer(options(own.ca)) }, (ca) => ({
      transport: Transport.REDIS,
      options: options(ca),
    }));
    expect(result).toEqual(SECURE);
    await broker.close();
  });

  it.runIf(isInstalled('rabbitmq-server'))(
    'are checked at RabbitMQ',
    async () => {
      const broker = await rabbitMq(pathsOfTls());
      await broker.start();
      const options = (ca: string) => ({
        urls: [`amqps://localhost:${broker.port}`],
        queue: 'stock',
        socketOptions: { connectionOptions: { ca } },
      });
      const result = await check({ strategy: new RabbitMqHostServer(options(own.ca)) }, (ca) => ({
        transport: Transport.RMQ,
        options: options(ca),
      }));
      expect(result).toEqual(SECURE);
      await broker.close();
    },
    START_MS,
  );
});
