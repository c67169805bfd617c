import { type MicroserviceOptions, Transport } from '@nestjs/microservices';
import {
  type MicroserviceClientOptions,
  NatsHostServer,
  RabbitMqHostServer,
  RedisHostServer,
} from '../../../src/microservices/index.js';
import { natsServer, rabbitMq, redisServer } from './brokers.js';
import { type Broker, type Rig, startMicroservice, startStrangeMicroservice, transportOver } from './rig.js';

/** Words with dots, as a subject of NATS has them. */
const PATTERN = 'stock.calls';
const QUEUE = 'stock';

/** NATS with its server. */
export function natsRig(): Rig {
  const options = (port: number) => ({ servers: `nats://127.0.0.1:${port}`, reconnectTimeWait: 50 });
  return brokered('NATS', natsServer, {
    client: (port) => ({ transport: Transport.NATS, options: options(port) }),
    server: (port) => ({ strategy: new NatsHostServer(options(port)) }),
  });
}

/** Redis with its server, and replicas that share the messages. */
export function redisRig(): Rig {
  const options = (port: number) => ({ host: '127.0.0.1', port, retryDelay: 50 });
  const rig = brokered('Redis', redisServer, {
    client: (port) => ({ transport: Transport.REDIS, options: options(port) }),
    server: (port) => ({ strategy: new RedisHostServer(options(port)) }),
  });
  // The fastest replica takes a message.
  return { ...rig, isBalanced: false, missesHost: true };
}

/** RabbitMQ with its server. The queue keeps messages until a host takes them, or their time is over. */
export function rabbitMqRig(): Rig & { readonly queue: string } {
  const options = (port: number) => ({
    urls: [`amqp://127.0.0.1:${port}`],
    queue: QUEUE,
  });
  const rig = brokered('RabbitMQ', rabbitMq, {
    client: (port) => ({ transport: Transport.RMQ, options: options(port) }),
    server: (port) => ({ strategy: new RabbitMqHostServer(options(port)) }),
  });
  return { ...rig, queue: QUEUE, missesHost: true };
}

interface Sides {
  readonly client: (port: number) => MicroserviceClientOptions;
  readonly server: (port: number) => MicroserviceOptions;
}

/** A transport whose hosts and coordinators are connected to a broker. */
function brokered(name: string, create: () => Promise<Broker>, { client, server }: Sides): Rig {
  let broker: Broker | undefined;
  const created = (): Broker => {
    if (broker === undefined) throw new Error('The broker was not started.');
    return broker;
  };
  const close = async (): Promise<void> => {
    await broker?.close();
    broker = undefined;
  };
  return {
    name,
    broker: {
      get port() {
        return created().port;
      },
      start: () => created().start(),
      stop: () => created().stop(),
      close,
    },
    start: async () => {
      broker = await create();
      await broker.start();
    },
    host: (participants, options) =>
      startMicroservice(participants, server(created().port), options, PATTERN),
    strangeHost: (answer) => startStrangeMicroservice(answer, server(created().port), PATTERN),
    transport: (credentials) => transportOver(client(created().port), credentials, PATTERN),
    cut: async () => {
      await created().stop();
      await created().start();
    },
    close,
  };
}
