import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { type MicroserviceOptions, Transport } from '@nestjs/microservices';
import {
  type MicroserviceClientOptions,
  NatsHostServer,
  RabbitMqHostServer,
  RedisHostServer,
} from '../../src/microservices/index.js';
import { natsServer, rabbitMq, redisServer } from '../../test/transports/support/brokers.js';
import type { Broker } from '../../test/transports/support/rig.js';

/** How services are reached: HTTP, or a transport of Nest. */
export const TRANSPORT_NAMES = ['http', 'tcp', 'nats', 'redis', 'rabbitmq'] as const;
export type TransportName = (typeof TRANSPORT_NAMES)[number];
export type MicroserviceName = Exclude<TransportName, 'http'>;

/** Those that need a server between the processes. */
const BROKERS = {
  nats: { create: natsServer, isThere: () => answers('nats-server') },
  redis: { create: redisServer, isThere: () => answers('redis-server') },
  rabbitmq: { create: rabbitMq, isThere: () => existsSync('/usr/lib/rabbitmq/bin/rabbitmq-server') },
} as const satisfies Partial<
  Record<TransportName, { create: () => Promise<Broker>; isThere: () => boolean }>
>;

/** Whether a transport needs no broker, or its broker is installed. */
export function isMeasurable(transport: TransportName): boolean {
  return transport === 'http' || transport === 'tcp' || BROKERS[transport].isThere();
}

/** Starts the broker of a transport for a measurement, if it needs one. */
export async function withBroker<Result>(
  transport: TransportName,
  measure: (port: number | undefined) => Promise<Result>,
): Promise<Result> {
  if (transport === 'http' || transport === 'tcp') return measure(undefined);
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
export function serverOf(transport: MicroserviceName, port: number, queue: string): MicroserviceOptions {
  switch (transport) {
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

/** @returns the options of a client of {@link serverOf}. */
export function clientOf(
  transport: MicroserviceName,
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
