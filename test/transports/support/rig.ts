import {
  Controller,
  type DynamicModule,
  type INestApplicationContext,
  Module,
  type Type,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { GrpcMethod, MessagePattern, type MicroserviceOptions } from '@nestjs/microservices';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { type Observable, Subject } from 'rxjs';
import {
  ParticipantHost,
  type ParticipantHostView,
  type ParticipantHostOptions,
  ParticipantHostModule,
} from '../../../src/host/index.js';
import {
  MicroserviceTransport,
  type MicroserviceClientOptions,
  ParticipantHostMicroserviceModule,
} from '../../../src/microservices/index.js';
import type { ParticipantTransport } from '../../../src/remote/index.js';
import { TOKEN } from '../../remote/support/services.js';
import type { Balancer } from './balancer.js';

/** One replica of a host. */
export interface Replica {
  /** The number of calls that it has answered. */
  calls(): number;
  /** The calls on which it works. */
  view?(): ParticipantHostView;
  /** Stops it, as a service stops. */
  stop(): Promise<void>;
}

export type HostOptions = Partial<ParticipantHostOptions> & Pick<ParticipantHostOptions, 'guard'>;

/** The requests to a host that keeps no rule, and its answers. */
export interface StrangeCall {
  /** The calls, as JSON. */
  readonly message: string;
  /** Sends texts that should be answers. */
  answer(...texts: string[]): void;
  /** Says that no more answers come. */
  end(): void;
  /** Sends what is no answer of a host at all. */
  say(value: unknown): void;
}

/** One transport under test, with its hosts and its broker. */
export interface Rig {
  readonly name: string;
  readonly broker?: Broker;
  /** Whether a message waits until its time is over when no host is there. */
  readonly missesHost?: boolean;
  /** False when chance decides which replica serves, or speed. */
  readonly isBalanced?: boolean;
  start(): Promise<void>;
  /** Starts one more replica of the host. */
  host(participants: readonly Type[], options: HostOptions): Promise<Replica>;
  /** Starts a host that keeps to no rule. It answers in place of the others, which must have stopped. */
  strangeHost(answer: (call: StrangeCall) => void): Promise<Replica>;
  transport(credentials?: string): ParticipantTransport;
  /** Cuts the connections to the hosts, or to the broker. */
  cut(): Promise<void>;
  close(): Promise<void>;
}

/** The server between coordinators and hosts. */
export interface Broker {
  readonly port: number;
  start(): Promise<void>;
  /** Stops it. It starts again at the same port. */
  stop(): Promise<void>;
  close(): Promise<void>;
}

@Module({})
class Service {}

/** Starts a service that serves participants over a microservice. */
export async function startMicroservice(
  participants: readonly Type[],
  microservice: MicroserviceOptions,
  options: HostOptions,
  pattern?: string,
): Promise<Replica & { readonly app: NestFastifyApplication }> {
  return startApplication(serviceOf(participants, options, pattern), microservice);
}

/** Starts a service that serves participants over a microservice, and nothing over HTTP. */
export async function startMicroserviceAlone(
  participants: readonly Type[],
  microservice: MicroserviceOptions,
  options: HostOptions,
  pattern?: string,
): Promise<Replica> {
  const app = await NestFactory.createMicroservice<MicroserviceOptions>(
    serviceOf(participants, options, pattern),
    { ...microservice, abortOnError: false },
  );
  await app.listen();
  return { calls: () => callsOf(app), view: () => app.get(ParticipantHost).view(), stop: () => app.close() };
}

function serviceOf(participants: readonly Type[], options: HostOptions, pattern?: string): DynamicModule {
  return {
    module: Service,
    imports: [
      ParticipantHostModule.forRoot({ credentials: TOKEN, shutdownGraceMs: 50, ...options }),
      ParticipantHostMicroserviceModule.forRoot({ pattern }),
    ],
    providers: [...participants],
  };
}

/** Starts a service that answers the messages of coordinators as it likes. */
export function startStrangeMicroservice(
  answer: (call: StrangeCall) => void,
  microservice: MicroserviceOptions,
  pattern = 'dtc.calls',
): Promise<Replica> {
  @Controller()
  class Strange {
    @MessagePattern(pattern, { queue: pattern })
    take(data: unknown): Observable<unknown> {
      return strangeAnswer(data, answer);
    }

    @GrpcMethod('ParticipantHost', 'Calls')
    takeOverGrpc(data: unknown): Observable<unknown> {
      return strangeAnswer(data, answer);
    }
  }
  return startApplication({ module: Service, controllers: [Strange] }, microservice);
}

async function startApplication(
  module: DynamicModule,
  microservice: MicroserviceOptions,
): Promise<Replica & { readonly app: NestFastifyApplication }> {
  const app = await NestFactory.create<NestFastifyApplication>(module, new FastifyAdapter() as never, {
    abortOnError: false,
  });
  app.connectMicroservice<MicroserviceOptions>(microservice);
  await app.init();
  await app.startAllMicroservices();
  return {
    app,
    calls: () => callsOf(app),
    view: () => app.get(ParticipantHost).view(),
    stop: () => app.close(),
  };
}

/** @returns the number of calls that a host has answered. */
export function callsOf(app: INestApplicationContext): number {
  const { counts } = app.get(ParticipantHost).view();
  return counts.reduce((sum, { calls }) => sum + calls, 0);
}

/** @returns a transport of this package. */
export function transportOver(
  client: MicroserviceClientOptions,
  credentials = TOKEN,
  pattern?: string,
): ParticipantTransport {
  return new MicroserviceTransport({ client, credentials, pattern });
}

/** The message that the strange host sends as its answer. */
export function strangeAnswer(data: unknown, answer: (call: StrangeCall) => void): Observable<unknown> {
  const { message } = data as { readonly message: string };
  const frames = new Subject<unknown>();
  const call: StrangeCall = {
    message,
    answer: (...answers) => frames.next({ answers }),
    end: () => frames.complete(),
    say: (value) => frames.next(value),
  };
  // Nest subscribes after this turn.
  setImmediate(answer, call);
  return frames;
}

/** @returns the replica, which the balancer reaches until it stops. */
export function behind(balancer: Balancer, port: number, replica: Replica): Replica {
  balancer.add(port);
  return {
    ...replica,
    stop: async () => {
      balancer.remove(port);
      await replica.stop();
    },
  };
}
