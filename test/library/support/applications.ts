import type { ModuleMetadata } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { onTestFinished } from 'vitest';
import { CoordinatorModule, type CoordinatorModuleOptions } from '../../../src/coordinator/index.js';
import { LogRecorder } from './log-recorder.js';

/**
 * Starts an application that is closed when the test is over.
 *
 * @param log receives the log lines from here on. @default they are dropped
 */
export async function start(metadata: ModuleMetadata, log = new LogRecorder()): Promise<TestingModule> {
  const application = await Test.createTestingModule(metadata).setLogger(log).compile();
  return initialise(application);
}

/** Starts an application with a coordinator of these options and these providers in its root module. */
export function startWith(
  providers: NonNullable<ModuleMetadata['providers']>,
  options: CoordinatorModuleOptions = {},
  log?: LogRecorder,
): Promise<TestingModule> {
  return start({ imports: [CoordinatorModule.forRoot(options)], providers }, log);
}

/** Initialises an application that a test has compiled, and closes it when the test is over. */
export async function initialise<A extends TestingModule>(application: A): Promise<A> {
  // Noted first, so that an application whose start fails is closed as well.
  onTestFinished(() => application.close());
  await application.init();
  return application;
}
