import { type DynamicModule, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { INestApplication, INestApplicationContext } from '@nestjs/common';
import { type CoordinatorModuleOptions, CoordinatorModule } from '../../../src/coordinator/index.js';
import {
  MemoryReplicaGuardStore,
  type ParticipantHostOptions,
  ParticipantHostModule,
} from '../../../src/host/index.js';
import { RemoteParticipantsModule, type RemoteParticipantsOptions } from '../../../src/remote/index.js';

export const TOKEN = 'the-token-of-the-tests';

export interface Host {
  readonly app: INestApplication;
  /** Its URL, with the prefix. */
  readonly address: string;
  readonly port: number;
}

@Module({})
class Service {}

/** Starts a host over HTTP. */
export async function startHost(
  participants: readonly Type[],
  options: Partial<ParticipantHostOptions> & {
    readonly platform?: 'express' | 'fastify';
    /** @default any free one */
    readonly port?: number;
    /** Certificates, with which Fastify speaks https. */
    readonly https?: object;
  } = {},
): Promise<Host> {
  const { platform = 'fastify', port: wanted = 0, https, ...given } = options;
  const host = ParticipantHostModule.forRoot({
    credentials: TOKEN,
    guard: new MemoryReplicaGuardStore(),
    ...given,
  });
  const module: DynamicModule = { module: Service, imports: [host], providers: [...participants] };
  const adapter =
    platform === 'fastify'
      ? new FastifyAdapter(https === undefined ? {} : ({ https } as object))
      : new ExpressAdapter();
  const app = await NestFactory.create<NestFastifyApplication>(module, adapter as FastifyAdapter, {
    logger: false,
    abortOnError: false,
  });
  await app.listen(wanted, '127.0.0.1');
  const port = Number(new URL(await app.getUrl()).port);
  return { app, address: `http://127.0.0.1:${port}/participants`, port };
}

/** Starts a coordinator without HTTP. */
export function startCoordinator(
  remote: Partial<RemoteParticipantsOptions>,
  options: CoordinatorModuleOptions = {},
): Promise<INestApplicationContext> {
  const imports = [
    CoordinatorModule.forRoot({ name: 'shop', allowMemoryLog: true, shutdownGraceMs: 500, ...options }),
    RemoteParticipantsModule.forRoot({ credentials: TOKEN, ...remote }),
  ];
  return NestFactory.createApplicationContext(
    { module: Service, imports },
    { logger: false, abortOnError: false },
  );
}
