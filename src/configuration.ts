import { z } from 'zod';
import { optionsFromEnvironment } from './common/config/environment.js';
import { LOG_LEVELS, type LogLevel } from './common/logging.js';
import { type ResolvedCoordinatorOptions, coordinatorOptionsSchema } from './coordinator/index.js';

const applicationSchema = z.object({
  host: z.string().min(1).default('127.0.0.1').describe('The address to listen on.'),
  port: z.number().int().min(0).max(65_535).default(3_000).describe('The port; 0 takes any that is free.'),
  logLevel: z.enum(LOG_LEVELS).default('info').describe('The least level that is logged.'),
  demo: z.enum(['true', 'false']).default('false').describe('Whether faults can be switched on over HTTP.'),
});

/** Everything the application can be told from outside. */
export interface Configuration {
  readonly host: string;
  readonly port: number;
  readonly logLevel: LogLevel;
  readonly demo: boolean;
  readonly coordinator: ResolvedCoordinatorOptions;
}

/**
 * Reads the configuration: HOST, PORT, LOG_LEVEL and DEMO, and each option of the coordinator from its variable
 * (`timeoutMs` from DTC_TIMEOUT_MS).
 *
 * @throws EnvironmentError when a value is impossible, or a variable beginning with DTC_ is not known.
 */
export function readConfiguration(environment: NodeJS.ProcessEnv): Configuration {
  const { HOST, PORT, LOG_LEVEL, DEMO } = environment;
  const { demo, ...application } = optionsFromEnvironment(applicationSchema, '', {
    HOST,
    PORT,
    LOG_LEVEL,
    DEMO,
  });
  const coordinator = optionsFromEnvironment(coordinatorOptionsSchema, 'DTC_', environment);
  return { ...application, demo: demo === 'true', coordinator };
}
