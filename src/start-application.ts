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

/** Contexts whose start-up lines are part of the announcement. */
const CONTEXTS_OF_THE_ANNOUNCEMENT = ['ParticipantRegistry'];

/**
 * Starts the application. It ends on SIGTERM or SIGINT, with code 0. It reports its addresses: in a few lines
 * at a terminal, otherwise in the log.
 *
 * @param server that was started for it.
 * @returns the application, when it listens.
 * @throws the error that prevents the start: see {@link endNotStarted}.
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

/**
 * Failed writes must not end the process: neither of the log, nor of other output, such as a warning of Node.
 */
function openOutput(): LogOutput {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  const output = LogOutput.toStandardOutput();
  process.once('exit', () => output.end());
  return output;
}

/** The variables change nothing, but the next Service may have the name of an option. */
function warnOfServiceLinks(names: readonly string[] = []): void {
  if (names.length === 0) return;
  new Logger('Application').warn(
    `These variables are links that Kubernetes makes to a Service, not options, so they are ignored: ${names.join(', ')}. ` +
      'Set enableServiceLinks: false in the specification of the pod, or give the Service another name.',
  );
}

/** Reports in one line why the application did not start, and ends the process with code 1. */
export function endNotStarted(error: unknown): never {
  process.stderr.write(`The application did not start: ${reasonNotStarted(error)}\n`);
  process.exit(1);
}
