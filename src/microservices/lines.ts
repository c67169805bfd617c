import {
  type ClientGrpc,
  type ClientOptions,
  type ClientProxy,
  ClientProxyFactory,
  type NatsOptions,
  NatsResponseJSONDeserializer,
  type RedisOptions,
  RmqRecordBuilder,
  type RmqOptions,
  type TcpClientOptions,
  Transport,
} from '@nestjs/microservices';
import { type Observable, NEVER, filter } from 'rxjs';
import type { CallsRequest } from './frames.js';
import { GRPC_HOST, GRPC_METHOD, GRPC_SERVICE } from './grpc-host.js';
import type { GrpcClientOptions, MicroserviceClientOptions } from './options.js';
import { CarefulClientRmq, promptSocket } from './rabbit-mq-connection.js';
import { CarefulClientRedis } from './redis-clients.js';
import { CarefulClientTcp } from './tcp-client.js';

/** One connection to a host, or to the broker before it, as a client of Nest keeps it. */
export interface Line {
  /** @param timeLeftMs after this time no answer is taken any more. */
  open(request: CallsRequest, timeLeftMs: number): Observable<unknown>;
  /** Emits when the connection was lost: answers to the messages in flight may be lost with it. */
  readonly lost: Observable<unknown>;
  /**
   * Takes a new connection for the next message; undefined where the client finds out alone that one is dead.
   */
  readonly reset?: () => void;
  close(): Promise<void>;
}

/** A connection that is broken, or about to be made again. */
const LOST = new Set(['disconnected', 'reconnecting']);

/**
 * Reads answers of NATS. One that is no JSON would end the process: Nest leaves the promise of its handler
 * alone.
 */
const NATS_ANSWERS = {
  deserialize: (message: unknown, options?: Record<string, unknown>): unknown => {
    try {
      return new NatsResponseJSONDeserializer().deserialize(message, options);
    } catch {
      return { response: 'no JSON', isDisposed: true };
    }
  },
};
/** When its broker is away, a client tries again about every half second. */
const NATS_DEFAULTS = {
  maxReconnectAttempts: -1,
  reconnectTimeWait: 500,
  pingInterval: 10_000,
  deserializer: NATS_ANSWERS,
};
/** Every line has a connection of its own, and a host that is back is called again within a second. */
const GRPC_CHANNEL = {
  'grpc.use_local_subchannel_pool': 1,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
};
const GRPC_KEEPALIVE = { keepaliveTimeMs: 10_000, keepaliveTimeoutMs: 5_000 };

/** @returns a line of its own, which connects with the first message. */
export function lineTo(client: MicroserviceClientOptions, pattern: string): Line {
  switch (client.transport) {
    case Transport.TCP:
      return tcpLine(client, pattern);
    case Transport.NATS:
      return natsLine(client, pattern);
    case Transport.REDIS:
      return redisLine(client, pattern);
    case Transport.RMQ:
      return rmqLine(client, pattern);
    case Transport.GRPC:
      return grpcLine(client);
  }
}

function tcpLine({ options }: TcpClientOptions, pattern: string): Line {
  const client = new CarefulClientTcp(options);
  // A message is small, and would wait until the other side has acknowledged the one before.
  client.status.subscribe((state: string) => {
    if (state === 'connected') client.connected?.setNoDelay(true);
  });
  const reset = (): void => {
    const socket = client.connected;
    client.close();
    // A connection that hangs does not answer a polite end either.
    socket?.destroy();
  };
  return {
    open: (request) => client.send(pattern, request),
    lost: lostBy(client),
    reset,
    close: async () => reset(),
  };
}

function natsLine({ options, ...rest }: NatsOptions, pattern: string): Line {
  const client = proxyOf({ ...rest, options: { ...NATS_DEFAULTS, ...options } });
  return {
    open: (request) => client.send(pattern, request),
    lost: lostBy(client),
    close: async () => client.close() as Promise<void>,
  };
}

function redisLine({ options }: RedisOptions, pattern: string): Line {
  const client = new CarefulClientRedis(options);
  return {
    open: (request) => client.send(pattern, request),
    lost: lostBy(client),
    close: () => client.close(),
  };
}

function rmqLine({ options = {} }: RmqOptions, pattern: string): Line {
  const { socketOptions, ...others } = options;
  const client = new CarefulClientRmq({
    // The broker keeps no message over a restart: the coordinator sends it again.
    persistent: false,
    ...others,
    socketOptions: promptSocket(socketOptions),
  });
  return {
    open: (request, timeLeftMs) => {
      // The broker drops what no host has taken in time.
      const record = new RmqRecordBuilder(request).setOptions({ expiration: timeLeftMs }).build();
      return client.send(pattern, record);
    },
    lost: lostBy(client),
    close: () => client.close(),
  };
}

function grpcLine({ options, ...rest }: GrpcClientOptions): Line {
  const { channelOptions, keepalive, ...others } = options;
  const client = proxyOf({
    ...rest,
    options: {
      ...GRPC_HOST,
      ...others,
      channelOptions: { ...GRPC_CHANNEL, ...channelOptions },
      keepalive: { ...GRPC_KEEPALIVE, ...keepalive },
    },
  });
  const service = (client as unknown as ClientGrpc).getService<GrpcHost>(GRPC_SERVICE);
  return {
    open: (request) => service[GRPC_METHOD](request),
    // Its calls end with their connection.
    lost: NEVER,
    close: async () => client.close() as void,
  };
}

interface GrpcHost {
  [GRPC_METHOD](request: CallsRequest): Observable<unknown>;
}

function proxyOf(options: ClientOptions): ClientProxy {
  return ClientProxyFactory.create(options as TcpClientOptions);
}

function lostBy({ status }: { readonly status: Observable<string> }): Observable<unknown> {
  return status.pipe(filter((state) => LOST.has(state)));
}
