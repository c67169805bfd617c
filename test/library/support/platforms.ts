import type { INestApplication } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { TestingModule } from '@nestjs/testing';

/** Makes an application on one HTTP platform, not yet initialised. */
export type Platform = (module: TestingModule) => INestApplication;

/** The HTTP platforms of Nest. It takes Express when it is not told otherwise. */
export const PLATFORMS: readonly [name: string, create: Platform][] = [
  ['Express', (module) => module.createNestApplication()],
  ['Fastify', (module) => module.createNestApplication(new FastifyAdapter())],
];

/** Starts an application so that requests can be sent to its server without a port of its own. */
export async function initialiseHttp(app: INestApplication): Promise<void> {
  await app.init();
  const instance = app.getHttpAdapter().getInstance() as { ready?: () => PromiseLike<unknown> };
  await instance.ready?.();
}
