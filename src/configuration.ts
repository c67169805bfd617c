import { z } from 'zod';
import { EnvironmentError, optionsFromEnvironment } from './common/config/environment.js';
import { LOG_LEVELS, type LogLevel } from './common/logging.js';
import { type ResolvedCoordinatorOptions, coordinatorOptionsSchema } from './coordinator/index.js';
import type { ServiceDatabases } from './orders/orders.module.js';

const databaseUrlSchema = z
  .string()
  .regex(/^postgres(ql)?:\/\/\S+$/, 'must be a URL: postgres://user:password@host:port/database')
  .optional();

/** What the application takes from the environment, each from the variable of its name: `logLevel` from LOG_LEVEL. */
export const applicationSchema = z.object({
  host: z.string().min(1).default('127.0.0.1').describe('The address to listen on.'),
  port: z.number().int().min(0).max(65_535).default(3_000).describe('The port; 0 takes any that is free.'),
  logLevel: z.enum(LOG_LEVELS).default('info').describe('The least level that is logged.'),
  demo: z.enum(['true', 'false']).default('false').describe('Whether faults can be switched on over HTTP.'),
  orderDatabaseUrl: databaseUrlSchema.describe(
    'The PostgreSQL database of the order service. All three are set, or none.',
  ),
  inventoryDatabaseUrl: databaseUrlSchema.describe('That of the inventory service.'),
  paymentDatabaseUrl: databaseUrlSchema.describe('That of the payment service.'),
  decisionLog: z
    .enum(['memory', 'lmdb'])
    .optional()
    .describe('Where decisions are kept. Left out, it is lmdb with databases, and memory without.'),
  decisionLogPath: z
    .string()
    .min(1)
    .optional()
    .describe('The folder of the lmdb log. Left out, it is `data/decisions`.'),
});

const DEFAULT_LOG_PATH = 'data/decisions';

const DATABASE_VARIABLES = ['ORDER_DATABASE_URL', 'INVENTORY_DATABASE_URL', 'PAYMENT_DATABASE_URL'] as const;

/** Where decisions are kept: with this process, or in a folder. */
export type DecisionLogChoice =
  { readonly kind: 'memory' } | { readonly kind: 'lmdb'; readonly path: string };

/** Everything the application can be told from outside. */
export interface Configuration {
  readonly host: string;
  readonly port: number;
  readonly logLevel: LogLevel;
  readonly demo: boolean;
  /** Left out: the services live in memory. */
  readonly databases?: ServiceDatabases;
  readonly decisionLog: DecisionLogChoice;
  readonly coordinator: ResolvedCoordinatorOptions;
}

/**
 * Reads the configuration: HOST, PORT, LOG_LEVEL, DEMO, the URLs of the databases, DECISION_LOG and DECISION_LOG_PATH, and
 * each option of the coordinator from its variable (`timeoutMs` from DTC_TIMEOUT_MS).
 *
 * @throws EnvironmentError when a value is impossible, values do not go together, or a variable beginning with DTC_ is not
 * known.
 */
export function readConfiguration(environment: NodeJS.ProcessEnv): Configuration {
  const { HOST, PORT, LOG_LEVEL, DEMO, DECISION_LOG, DECISION_LOG_PATH } = environment;
  const { ORDER_DATABASE_URL, INVENTORY_DATABASE_URL, PAYMENT_DATABASE_URL } = environment;
  const given = optionsFromEnvironment(applicationSchema, '', {
    HOST,
    PORT,
    LOG_LEVEL,
    DEMO,
    ORDER_DATABASE_URL,
    INVENTORY_DATABASE_URL,
    PAYMENT_DATABASE_URL,
    DECISION_LOG,
    DECISION_LOG_PATH,
  });
  const { host, port, logLevel, demo } = given;
  const databases = databasesOf(given);
  return {
    host,
    port,
    logLevel,
    demo: demo === 'true',
    ...(databases !== undefined && { databases }),
    decisionLog: decisionLogOf(given, databases !== undefined),
    coordinator: optionsFromEnvironment(coordinatorOptionsSchema, 'DTC_', environment),
  };
}

type Given = z.output<typeof applicationSchema>;

function databasesOf({
  orderDatabaseUrl: order,
  inventoryDatabaseUrl: inventory,
  paymentDatabaseUrl: payment,
}: Given): ServiceDatabases | undefined {
  if (order !== undefined && inventory !== undefined && payment !== undefined) {
    return { order, inventory, payment };
  }
  const missing = DATABASE_VARIABLES.filter((_, index) => [order, inventory, payment][index] === undefined);
  if (missing.length === DATABASE_VARIABLES.length) return undefined;
  throw new EnvironmentError([
    `${missing.join(' and ')}: is missing; set all three database URLs, or none to keep everything in memory`,
  ]);
}

function decisionLogOf({ decisionLog, decisionLogPath }: Given, hasDatabases: boolean): DecisionLogChoice {
  const kind = decisionLog ?? (hasDatabases || decisionLogPath !== undefined ? 'lmdb' : 'memory');
  if (kind === 'lmdb') return { kind, path: decisionLogPath ?? DEFAULT_LOG_PATH };
  if (decisionLogPath === undefined) return { kind };
  throw new EnvironmentError(['DECISION_LOG_PATH: has no meaning with DECISION_LOG=memory']);
}
