import { Logger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from './app.module.js';
import { LogOutput } from './common/log-output.js';
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
  const output = openOutput();
  const app = configureApp(
    await NestFactory.create<NestFastifyApplication>(
      AppModule.forRoot(configuration, output),
      createHttpAdapter(),
      APPLICATION_OPTIONS,
    ),
  );
  warnOfServiceLinks(configuration.serviceLinks);
  await app.listen(configuration.port, configuration.host);
  new Logger('Application').log(`Listening on ${await app.getUrl()}, documentation at /docs`);
  return app;
}

/** What is written is no reason to end: neither the log, nor what others write beside it, a warning of Node for instance. */
function openOutput(): LogOutput {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  const output = LogOutput.toStandardOutput();
  process.once('exit', () => output.end());
  return output;
}

/** They change nothing, but the next Service may have a name that is an option. */
function warnOfServiceLinks(names: readonly string[] = []): void {
  if (names.length === 0) return;
  new Logger('Application').warn(
    `These variables are links that Kubernetes makes to a Service, and no options, so they are passed over: ${names.join(', ')}. ` +
      'Set enableServiceLinks: false in the specification of the pod, or give the Service another name.',
  );
}

/** Says in one line why the application did not start, and ends the process with code 1. */
export function endNotStarted(error: unknown): never {
  process.stderr.write(`The application did not start: ${reasonNotStarted(error)}\n`);
  process.exit(1);
}
