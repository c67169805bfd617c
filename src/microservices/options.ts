import {
  type GrpcOptions,
  type NatsOptions,
  type RedisOptions,
  type RmqOptions,
  type TcpClientOptions,
  Transport,
} from '@nestjs/microservices';
import { InvalidOptionsError } from '../coordinator/errors.js';
import { type Credentials, tokensOf } from '../remote/wire/index.js';
import { DEFAULT_PATTERN, problemOfPattern } from './frames.js';
import { problemOfBuffer } from './tcp-client.js';

/** A client of gRPC, with the .proto file of this package. @publicApi */
export interface GrpcClientOptions {
  readonly transport: Transport.GRPC;
  readonly options: Omit<GrpcOptions['options'], 'package' | 'protoPath' | 'packageDefinition'>;
}

/** A client of Nest, as `ClientsModule` takes it. Its `transport` is named. @publicApi */
export type MicroserviceClientOptions =
  | TcpClientOptions
  | (NatsOptions & { readonly transport: Transport.NATS })
  | (RedisOptions & { readonly transport: Transport.REDIS })
  | (RmqOptions & { readonly transport: Transport.RMQ })
  | GrpcClientOptions;

/** The options of {@link MicroserviceTransport}. @publicApi */
export interface MicroserviceTransportOptions {
  /**
   * How the host is reached, with the options of a client of Nest: its transport, its address or that of its
   * broker, and TLS.
   */
  readonly client: MicroserviceClientOptions;
  /** The token that is sent with each message. The first of several. */
  readonly credentials: Credentials;
  /** The name of the messages: that of the host's module. gRPC has none. @default 'dtc.calls' */
  readonly pattern?: string | undefined;
}

const SUPPORTED = new Set<unknown>([
  Transport.TCP,
  Transport.NATS,
  Transport.REDIS,
  Transport.RMQ,
  Transport.GRPC,
]);

/** @throws InvalidOptionsError when an option is unknown or impossible. No token is quoted. */
export function resolveTransportOptions(
  options: MicroserviceTransportOptions,
): Required<MicroserviceTransportOptions> & { readonly pattern: string } {
  const { client, credentials, pattern = DEFAULT_PATTERN, ...unknown } = options ?? {};
  const problems = Object.keys(unknown).map((name) => `${name}: is not an option`);
  try {
    tokensOf(credentials);
  } catch (error) {
    problems.push((error as Error).message);
  }
  const problem = problemOfPattern(pattern);
  if (problem !== undefined) problems.push(problem);
  if (!SUPPORTED.has(client?.transport)) {
    problems.push(
      'client.transport: must be Transport.TCP, NATS, REDIS, RMQ or GRPC of @nestjs/microservices',
    );
  } else if (client.transport === Transport.RMQ && !client.options?.queue) {
    problems.push('client.options.queue: must be the queue of the host');
  } else if (client.transport === Transport.TCP) {
    const ofBuffer = problemOfBuffer(client.options ?? {});
    if (ofBuffer !== undefined) problems.push(ofBuffer);
  }
  if (problems.length > 0) throw new InvalidOptionsError('MicroserviceTransport', problems);
  return { client, credentials, pattern };
}

/** @returns where the host is reached, for logs and for the decision log. It has no password of a broker. */
export function addressIn(client: MicroserviceClientOptions, pattern: string): string {
  switch (client.transport) {
    case Transport.TCP:
      return `tcp://${client.options?.host ?? 'localhost'}:${client.options?.port ?? 3000}`;
    case Transport.GRPC:
      return `grpc://${client.options.url ?? 'localhost:5000'}`;
    case Transport.NATS:
      return `nats:${pattern}`;
    case Transport.REDIS:
      return `redis:${pattern}`;
    case Transport.RMQ:
      return `rmq:${client.options?.queue}`;
  }
}
