import { Logger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from './app.module.js';
import { readConfiguration } from './configuration.js';
import { APPLICATION_OPTIONS, configureApp, createHttpAdapter } from './configure-app.js';
import { reasonNotStarted } from './reason-not-started.js';

/**
 * Starts the application. It ends by SIGTERM or SIGINT, with code 0.
 *
 * @returns the application, when it listens.
 * @throws whatever keeps it from starting: see {@link endNotStarted}.
 */
export async function startApplication(environment: NodeJS.ProcessEnv): Promise<NestFastifyApplication> {
  const configuration = readConfiguration(environment);
  const app = configureApp(
    await NestFactory.create<NestFastifyApplication>(
      AppModule.forRoot(configuration),
      createHttpAdapter(),
      APPLICATION_OPTIONS,
    ),
  );
  await app.listen(configuration.port, configuration.host);
  new Logger('Application').log(`Listening on ${await app.getUrl()}, documentation at /docs`);
  return app;
}

/** Says in one line why the application did not start, and ends the process with code 1. */
export function endNotStarted(error: unknown): never {
  process.stderr.write(`The application did not start: ${reasonNotStarted(error)}\n`);
  process.exit(1);
}
