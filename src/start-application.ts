import { Logger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { type ServerFacts, sentencesOf, textOf } from './announcement.js';
import { AppModule } from './app.module.js';
import { LogOutput } from './common/log-output.js';
import { readConfiguration } from './configuration.js';
import { APPLICATION_OPTIONS, configureApp, createHttpAdapter } from './configure-app.js';
import { ParticipantRegistry } from './coordinator/index.js';
import { reasonNotStarted } from './reason-not-started.js';

/** What they log at the start is in the announcement. */
const CONTEXTS_OF_THE_ANNOUNCEMENT = ['ParticipantRegistry'];

/**
 * Starts the application. It ends by SIGTERM or SIGINT, with code 0. It says where it is: in a few lines at a terminal, in
 * the log otherwise.
 *
 * @param server that was started for it.
 * @returns the application, when it listens.
 * @throws whatever keeps it from starting: see {@link endNotStarted}.
 */
export async function startApplication(
  environment: NodeJS.ProcessEnv,
  server?: ServerFacts,
): Promise<NestFastifyApplication> {
  const configuration = readConfiguration(environment);
  const output = openOutput();
  const app = configureApp(
    await NestFactory.create<NestFastifyApplication>(
      AppModule.forRoot(configuration, output),
      createHttpAdapter(),
      APPLICATION_OPTIONS,
    ),
    process.stdout.isTTY ? CONTEXTS_OF_THE_ANNOUNCEMENT : [],
  );
  warnOfServiceLinks(configuration.serviceLinks);
  await app.listen(configuration.port, configuration.host);
  const participants = app.get(ParticipantRegistry).list();
  const announcement = {
    url: await app.getUrl(),
    participants: participants.map(({ name }) => name),
    configuration,
    server,
  };
  if (process.stdout.isTTY) output.write(textOf(announcement));
  else for (const sentence of sentencesOf(announcement)) new Logger('Application').log(sentence);
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
    `These variables are links that Kubernetes makes to a Service, not options, so they are ignored: ${names.join(', ')}. ` +
      'Set enableServiceLinks: false in the specification of the pod, or give the Service another name.',
  );
}

/** Says in one line why the application did not start, and ends the process with code 1. */
export function endNotStarted(error: unknown): never {
  process.stderr.write(`The application did not start: ${reasonNotStarted(error)}\n`);
  process.exit(1);
}
