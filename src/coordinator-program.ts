import { join } from 'node:path';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { whereDecisionsAre } from './announcement.js';
import { type DynamicModule, Module } from '@nestjs/common';
import type { DestinationStream } from 'pino';
import { foundationOf, makeDecisionLog } from './app.module.js';
import { type CoordinatorConfiguration, readCoordinatorConfiguration } from './coordinator-configuration.js';
import { type DecisionLog, isSharedLog } from './coordinator/index.js';
import { RegistrationFile, RemoteParticipantsModule } from './remote/index.js';
import { RestAtModule } from './rest-at/index.js';
import { CoordinatorServerModule } from './server/index.js';
import { type Started, startProgram } from './start-application.js';

/** Where callers and participants reach the coordinator. */
const PREFIX = 'dtc';

/** Where clients and participants of REST-AT reach it. */
const REST_AT_PREFIX = 'rest-at-coordinator/tx';

/** Beside the decisions. */
const REGISTRATIONS = 'participants.json';

/** Room for several payloads of the largest size in one request. */
export const COORDINATOR_BODY_LIMIT_BYTES = 256 * 1024;

const DESCRIPTION =
  'A coordinator: services in any language commit together or not at all. An interface for callers and participants, and one for operators.';

/** A coordinator without orders: callers and participants are other processes. */
@Module({})
export class CoordinatorProgramModule {
  /** @param logs the destination of log lines. @default standard output */
  static forRoot(configuration: CoordinatorConfiguration, logs?: DestinationStream): DynamicModule {
    const log = makeDecisionLog(configuration.decisionLog);
    const { imports, providers } = foundationOf(configuration, logs, log);
    const { access, callers, participantHosts, maxTimeoutMs, restAt } = configuration;
    return {
      module: CoordinatorProgramModule,
      imports: [
        ...imports,
        CoordinatorServerModule.forRoot({
          prefix: PREFIX,
          callers,
          participants: participantHosts,
          readers: access.readers === 'anyone' ? [] : access.readers,
          operators: access.operators,
          maxTimeoutMs,
        }),
        ...remoteParticipants(configuration, log),
        ...(restAt === undefined ? [] : [RestAtModule.forRoot({ ...restAt, prefix: REST_AT_PREFIX })]),
      ],
      providers,
    };
  }
}

function remoteParticipants(
  { remote, decisionLog }: CoordinatorConfiguration,
  log: DecisionLog,
): DynamicModule[] {
  if (remote === undefined) return [];
  const registrations = isSharedLog(log)
    ? log
    : decisionLog.kind === 'sqlite' && new RegistrationFile(join(decisionLog.path, REGISTRATIONS));
  return [RemoteParticipantsModule.forRoot({ ...remote, ...(registrations !== false && { registrations }) })];
}

/** Starts the coordinator without orders, as `startApplication` starts the shop. */
export function startCoordinator(environment: NodeJS.ProcessEnv): Promise<NestFastifyApplication> {
  const configuration = readCoordinatorConfiguration(environment);
  return startProgram({
    configuration,
    bodyLimit: COORDINATOR_BODY_LIMIT_BYTES,
    description: DESCRIPTION,
    module: (logs) => CoordinatorProgramModule.forRoot(configuration, logs),
    announce: (started) => ({
      text: textOf(started, configuration),
      sentences: sentencesOf(started, configuration),
    }),
  });
}

function sentencesOf({ url }: Started, configuration: CoordinatorConfiguration): string[] {
  const { restAt } = configuration;
  return [
    `Listening on ${url}, for callers and participants at /${PREFIX}, documentation at /docs, dashboard at /dashboard`,
    ...(restAt === undefined
      ? []
      : [`REST-AT is at /${REST_AT_PREFIX}${restAt.callers === 'anyone' ? ', for everyone' : ''}`]),
    `Decisions are kept ${whereDecisionsAre({ configuration })}`,
  ];
}

function textOf({ url, participants }: Started, configuration: CoordinatorConfiguration): string {
  const rows = [
    ['Callers', `${url}/${PREFIX}`],
    ...(configuration.restAt === undefined ? [] : [['REST-AT', `${url}/${REST_AT_PREFIX}`]]),
    ['Documentation', `${url}/docs`],
    ['Dashboard', `${url}/dashboard`],
    ['Participants', participants.join(', ') || 'none yet'],
    ['Decisions', whereDecisionsAre({ configuration })],
    ['To stop', 'Ctrl+C'],
  ];
  const lines = rows.map(([name, value]) => `  ${name!.padEnd(14)} ${value}`);
  return ['', 'The coordinator is running.', '', ...lines, '', ''].join('\n');
}
