import { type DynamicModule, Logger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { pino } from 'pino';
import { type ServerFacts, sentencesOf, textOf } from './announcement.js';
import { AppModule } from './app.module.js';
import { LogOutput } from './common/log-output.js';
import { type Configuration, readConfiguration } from './configuration.js';
import { APPLICATION_OPTIONS, configureApp, createHttpAdapter } from './configure-app.js';
import { ParticipantRegistry } from './coordinator/index.js';
import { CoordinatorMetrics } from './operations/index.js';
import { reasonNotStarted } from './reason-not-started.js';

/** Contexts whose start-up lines are part of the announcement. */
const CONTEXTS_OF_THE_ANNOUNCEMENT = ['ParticipantRegistry'];

/** A program that is about to start. */
export interface Program {
  readonly module: (logs: LogOutput) => DynamicModule;
  readonly configuration: Pick<Configuration, 'host' | 'port' | 'serviceLinks'>;
  /** The most bytes of a body. @default that of the shop */
  readonly bodyLimit?: number;
  /** What its documentation says at the top. @default that of the shop */
  readonly description?: string;
  /** What it tells its user: for a person at a terminal, and for the log. */
  readonly announce: (started: Started) => { readonly text: string; readonly sentences: readonly string[] };
}

/** What is known of a program when it listens. */
export interface Started {
  /** Where it listens, such as `http://127.0.0.1:3000`. */
  readonly url: string;
  /** The names of the participants. */
  readonly participants: readonly string[];
}

/**
 * Starts the application. It ends on SIGTERM or SIGINT, with code 0. It reports its addresses: in a few lines
 * at a terminal, otherwise in the log.
 *
 * @param server that was started for it.
 * @returns the application, when it listens.
 * @throws the error that prevents the start: see {@link endNotStarted}.
 */
export function startApplication(
  environment: NodeJS.ProcessEnv,
  server?: ServerFacts,
): Promise<NestFastifyApplication> {
  const configuration = readConfiguration(environment);
  return startProgram({
    configuration,
    module: (logs) => AppModule.forRoot(configuration, logs),
    announce: (started) => {
      const announcement = { ...started, configuration, server };
      return { text: textOf(announcement), sentences: sentencesOf(announcement) };
    },
  });
}

/** Starts a program as {@link startApplication} does. */
export async function startProgram({
  module,
  configuration,
  bodyLimit,
  description,
  announce,
}: Program): Promise<NestFastifyApplication> {
  const output = openOutput();
  const app = configureApp(
    await NestFactory.create<NestFastifyApplication>(
      module(output),
      createHttpAdapter(bodyLimit),
      APPLICATION_OPTIONS,
    ),
    process.stdout.isTTY ? CONTEXTS_OF_THE_ANNOUNCEMENT : [],
    description,
  );
  // The process belongs to the program, so its metrics do as well.
  app.get(CoordinatorMetrics).includeProcess();
  warnOfServiceLinks(configuration.serviceLinks);
  await app.listen(configuration.port, configuration.host);
  const participants = app.get(ParticipantRegistry).list();
  const { text, sentences } = announce({
    url: await app.getUrl(),
    participants: participants.map(({ name }) => name),
  });
  if (process.stdout.isTTY) output.write(text);
  else for (const sentence of sentences) new Logger('Application').log(sentence);
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

/**
 * Reports in one line why the application did not start, and ends the process with code 1. The log has the
 * line as well, as JSON, with the code of the error.
 */
export function endNotStarted(error: unknown): never {
  const line = `The application did not start: ${reasonNotStarted(error)}`;
  process.stderr.write(`${line}\n`);
  if (!process.stdout.isTTY) {
    const { code } = (error ?? {}) as { readonly code?: unknown };
    // A logger of its own: that of the application may not exist yet, or may have lines that wait.
    const log = pino({ base: null }, { write: (text) => process.stdout.write(text) });
    log.fatal({ context: 'Application', ...(typeof code === 'string' && { code }) }, line);
  }
  process.exit(1);
}
