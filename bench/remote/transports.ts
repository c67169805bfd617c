import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync } from 'node:fs';
import { fromJSON } from '@grpc/proto-loader';
import { type GrpcOptions, type MicroserviceOptions, Transport } from '@nestjs/microservices';
import {
  GRPC_HOST,
  type MicroserviceClientOptions,
  NatsHostServer,
  RabbitMqHostServer,
  RedisHostServer,
} from '../../src/microservices/index.js';
import { natsServer, rabbitMq, redisServer } from '../../test/transports/support/brokers.js';
import type { Broker } from '../../test/transports/support/rig.js';
import type { ServiceKind } from './services.js';

/** The ways to reach services: HTTP, or a transport of Nest. */
export const TRANSPORT_NAMES = ['http', 'tcp', 'grpc', 'nats', 'redis', 'rabbitmq'] as const;
export type TransportName = (typeof TRANSPORT_NAMES)[number];
export type MicroserviceName = Exclude<TransportName, 'http'>;

/** The transports that need a broker between the processes. */
const BROKERS = {
  nats: { create: natsServer, isThere: () => answers('nats-server') },
  redis: { create: redisServer, isThere: () => answers('redis-server') },
  rabbitmq: { create: rabbitMq, isThere: () => existsSync('/usr/lib/rabbitmq/bin/rabbitmq-server') },
} as const satisfies Partial<
  Record<TransportName, { create: () => Promise<Broker>; isThere: () => boolean }>
>;

/** Whether a transport needs no broker, or its broker is installed. */
export function isMeasurable(transport: TransportName): boolean {
  return !hasBroker(transport) || BROKERS[transport].isThere();
}

function hasBroker(transport: TransportName): transport is keyof typeof BROKERS {
  return transport in BROKERS;
}

const EXCHANGE = { requestType: 'Request', responseType: 'Answer', comment: '' };

function messageOf(...names: readonly string[]): {
  fields: Record<string, { type: 'string'; id: number }>;
} {
  return {
    fields: Object.fromEntries(names.map((name, index) => [name, { type: 'string', id: index + 1 }])),
  };
}

/** The services of the bare requests over gRPC, as a .proto file. */
export const BARE_SERVICE = 'Bare';
const BARE_HOST: GrpcOptions['options'] = {
  package: 'bench',
  packageDefinition: fromJSON({
    nested: {
      bench: {
        nested: {
          Request: messageOf('id', 'work', 'rest', 'token'),
          Answer: messageOf('id', 'kind', 'vote'),
          [BARE_SERVICE]: { methods: { Prepare: EXCHANGE, Commit: EXCHANGE } },
        },
      },
    },
  }),
};

/** Starts the broker of a transport for a measurement, if it needs one. */
export async function withBroker<Result>(
  transport: TransportName,
  measure: (port: number | undefined) => Promise<Result>,
): Promise<Result> {
  // The compiler does not copy the file, so it is read from the sources.
  if (transport === 'grpc') copyFileSync('src/microservices/participant-host.proto', GRPC_HOST.protoPath);
  if (!hasBroker(transport)) return measure(undefined);
  const broker = await BROKERS[transport].create();
  try {
    await broker.start();
    return await measure(broker.port);
  } finally {
    await broker.close();
  }
}

/**
 * @param port of the service, or of the broker.
 * @param queue the queue of the service.
 * @returns the options of its microservice.
 */
export function serverOf(
  transport: MicroserviceName,
  kind: ServiceKind,
  port: number,
  queue: string,
): MicroserviceOptions {
  switch (transport) {
    case 'grpc': {
      const host = kind === 'bare' ? BARE_HOST : GRPC_HOST;
      return { transport: Transport.GRPC, options: { ...host, url: `127.0.0.1:${port}` } };
    }
    case 'tcp':
      return { transport: Transport.TCP, options: { host: '127.0.0.1', port } };
    case 'nats':
      return { strategy: new NatsHostServer({ servers: `nats://127.0.0.1:${port}` }) };
    case 'redis':
      return { strategy: new RedisHostServer({ host: '127.0.0.1', port }) };
    case 'rabbitmq':
      return { strategy: new RabbitMqHostServer({ urls: [`amqp://127.0.0.1:${port}`], queue }) };
  }
}

/** @returns the options of a client of bare requests over gRPC. */
export function bareGrpcClientOf(port: number): GrpcOptions {
  return { transport: Transport.GRPC, options: { ...BARE_HOST, url: `127.0.0.1:${port}` } };
}

/** @returns the options of a client of gRPC for a participant host. */
export function grpcClientOf(port: number): MicroserviceClientOptions {
  return { transport: Transport.GRPC, options: { url: `127.0.0.1:${port}` } };
}

/** @returns the options of a client of {@link serverOf} over a transport with messages. */
export function clientOf(
  transport: Exclude<MicroserviceName, 'grpc'>,
  port: number,
  queue: string,
): MicroserviceClientOptions & { readonly transport: Exclude<Transport, Transport.GRPC> } {
  switch (transport) {
    case 'tcp':
      return { transport: Transport.TCP, options: { host: '127.0.0.1', port } };
    case 'nats':
      return { transport: Transport.NATS, options: { servers: `nats://127.0.0.1:${port}` } };
    case 'redis':
      return { transport: Transport.REDIS, options: { host: '127.0.0.1', port } };
    case 'rabbitmq':
      return { transport: Transport.RMQ, options: { urls: [`amqp://127.0.0.1:${port}`], queue } };
  }
}

function answers(program: string): boolean {
  return spawnSync(program, ['--version']).status === 0;
}
