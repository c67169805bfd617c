import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { INestApplication } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { APPLICATION_OPTIONS, configureApp, createHttpAdapter } from '../../src/configure-app.js';
import { readCoordinatorConfiguration } from '../../src/coordinator-configuration.js';
import { COORDINATOR_BODY_LIMIT_BYTES, CoordinatorProgramModule } from '../../src/coordinator-program.js';
import {
  CoordinatorModule,
  type CoordinatorModuleOptions,
  type CoordinatorOptions,
} from '../../src/coordinator/index.js';
import { RestAtModule, type RestAtOptions } from '../../src/rest-at/index.js';
import { LogRecorder } from '../library/support/log-recorder.js';
import { PLATFORMS } from '../library/support/platforms.js';
import { RestAtClient } from './client.js';

export const PATH = 'rest-at-coordinator/tx';
const TOKEN = 'the-token-of-the-shop';

/** Failures are soon over, and nothing is late on a busy machine. */
const QUICK = {
  prepareTimeoutMs: 10_000,
  completionTimeoutMs: 10_000,
  retryBaseMs: 1,
  retryCapMs: 2,
  maxAttempts: 3,
  completionWaitMs: 10_000,
  recoveryIntervalMs: 20,
  shutdownGraceMs: 10,
} as const satisfies CoordinatorOptions;

/** A coordinator that can be stopped. */
export interface RunningCoordinator {
  readonly client: RestAtClient;
  readonly app: INestApplication;
  readonly log: LogRecorder;
  close(): Promise<void>;
}

function running(
  app: INestApplication,
  log: LogRecorder,
  headers: Readonly<Record<string, string>> = {},
): RunningCoordinator {
  const server = app.getHttpServer() as { address(): AddressInfo; closeAllConnections(): void };
  return {
    client: new RestAtClient(`http://127.0.0.1:${server.address().port}/${PATH}`, headers),
    app,
    log,
    close: () => {
      // The connections of fetch stay open for a next request.
      server.closeAllConnections();
      return app.close();
    },
  };
}

/** The module in an application of its own. By default decisions are in memory. */
export async function startModule(
  restAt: Partial<RestAtOptions>,
  coordinator: CoordinatorModuleOptions = {},
  [, platform] = PLATFORMS[0]!,
): Promise<RunningCoordinator> {
  const log = new LogRecorder();
  const module = await Test.createTestingModule({
    imports: [
      CoordinatorModule.forRoot({ ...QUICK, ...coordinator, allowMemoryLog: true }),
      RestAtModule.forRoot({ callers: 'anyone', sweepIntervalMs: 10, ...restAt }),
    ],
  })
    .setLogger(log)
    .compile();
  const app = platform(module);
  await app.listen(0, '127.0.0.1');
  return running(app, log);
}

/** The program that `npm run start:coordinator` starts, on a log in a folder. */
export async function startProgram(folder: string, origin: string): Promise<RunningCoordinator> {
  const configuration = readCoordinatorConfiguration({
    LOG_LEVEL: 'silent',
    DECISION_LOG_PATH: folder,
    CALLER_TOKENS: `shop:${TOKEN}`,
    REST_AT: 'tokens',
    REST_AT_ORIGINS: origin,
    DTC_PREPARE_TIMEOUT_MS: String(QUICK.prepareTimeoutMs),
    DTC_COMPLETION_TIMEOUT_MS: String(QUICK.completionTimeoutMs),
    DTC_RETRY_BASE_MS: String(QUICK.retryBaseMs),
    DTC_RETRY_CAP_MS: String(QUICK.retryCapMs),
    DTC_MAX_ATTEMPTS: String(QUICK.maxAttempts),
    DTC_COMPLETION_WAIT_MS: String(QUICK.completionWaitMs),
    DTC_RECOVERY_INTERVAL_MS: String(QUICK.recoveryIntervalMs),
    DTC_SHUTDOWN_GRACE_MS: String(QUICK.shutdownGraceMs),
  });
  const module = await Test.createTestingModule({
    imports: [CoordinatorProgramModule.forRoot(configuration)],
  }).compile();
  const app = configureApp(
    module.createNestApplication<NestFastifyApplication>(
      createHttpAdapter(COORDINATOR_BODY_LIMIT_BYTES),
      APPLICATION_OPTIONS,
    ),
  );
  await app.listen(0, '127.0.0.1');
  return running(app, new LogRecorder(), { authorization: `Bearer ${TOKEN}` });
}

/** @returns a new folder for decisions, and what removes it. */
export function folderForDecisions(): { readonly path: string; readonly remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'rest-at-'));
  return { path: join(folder, 'decisions'), remove: () => rmSync(folder, { recursive: true, force: true }) };
}
