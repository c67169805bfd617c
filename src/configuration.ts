import { z } from 'zod';
import { credentialsSchema, tokensSchema } from './common/config/credentials.js';
import { EnvironmentError, gather } from './common/config/environment.error.js';
import { namesOf, optionsFromEnvironment, serviceLinksIn, variablesOf } from './common/config/environment.js';
import { isLoopback } from './common/config/loopback.js';
import { LOG_LEVELS, type LogLevel } from './common/logging.js';
import {
  type ResolvedCoordinatorOptions,
  coordinatorOptionsSchema,
} from './coordinator/coordinator.options.js';
import { DEMO_OPERATOR } from './demo/demo.settings.js';
import type { Credential, LinkTemplate } from './operations/index.js';
import type { ServiceDatabases } from './orders/orders.module.js';

const databaseUrlSchema = z
  .string()
  .regex(/^postgres(ql)?:\/\/\S+$/, 'must be a URL: postgres://user:password@host:port/database')
  .optional();

const linkSchema = z
  .string()
  .max(2_000)
  .regex(
    /^https?:\/\/[^\s/{}@]+\/\S*\{(?:transactionId|traceId|requestId|name)\}\S*$/,
    'must be an address with a placeholder, such as https://traces.example/trace/{traceId}',
  )
  .optional();

const LMDB_IS_GONE =
  'lmdb is no longer supported: decisions are kept with sqlite, in a new folder. First let the version that wrote the old ' +
  'log complete its open transactions';

/**
 * The application's variables, one for each option: `logLevel` is LOG_LEVEL. A secret may come from a file as
 * well. The table in docs/options.md is generated from this.
 */
export const applicationSchema = z.object({
  host: z
    .string()
    .min(1)
    .default('127.0.0.1')
    .describe(
      'The address to listen on. An address that other machines reach needs `OPERATOR_TOKENS` or `READER_TOKENS`.',
    ),
  port: z.number().int().min(0).max(65_535).default(3_000).describe('The port; 0 means any free port.'),
  logLevel: z.enum(LOG_LEVELS).default('info').describe('The least level that is logged.'),
  demo: z
    .enum(['true', 'false'])
    .default('false')
    .describe(
      'Whether the page `/demo` makes participants fail, sends traffic, and tells the token of an operator. Only on a loopback address.',
    ),
  readerTokens: credentialsSchema.optional().meta({
    secret: true,
    description:
      "The readers of the operators' interface: pairs of `name:token`, separated by commas or line breaks. Without it, on a loopback " +
      'address, every caller may read.',
  }),
  operatorTokens: credentialsSchema.optional().meta({
    secret: true,
    description: 'The operators, who may read and act, in the same form. Without it, no caller may act.',
  }),
  memberTokens: tokensSchema.optional().meta({
    secret: true,
    description:
      'The tokens by which the members of one log ask each other, separated by commas or line breaks. A member sends the first and ' +
      'accepts all of them. Without it, members do not ask each other.',
  }),
  traceLink: linkSchema.describe(
    'Where the trace of a transaction is shown, for a link in the dashboard: an address with `{traceId}`, `{transactionId}`, ' +
      '`{requestId}` or `{name}`.',
  ),
  logLink: linkSchema.describe('Where the log lines of a transaction are shown, in the same form.'),
  orderDatabaseUrl: databaseUrlSchema.meta({
    secret: true,
    description:
      'The PostgreSQL database of the order service. Set all three, or none: then everything is in memory.',
  }),
  inventoryDatabaseUrl: databaseUrlSchema.meta({
    secret: true,
    description: 'The database of the inventory service.',
  }),
  paymentDatabaseUrl: databaseUrlSchema.meta({
    secret: true,
    description: 'The database of the payment service.',
  }),
  decisionLog: z
    .enum(['memory', 'sqlite', 'postgres'], {
      error: ({ input }) => (input === 'lmdb' ? LMDB_IS_GONE : undefined),
    })
    .optional()
    .describe(
      'Where decisions are kept. The default is `postgres` with `DECISION_LOG_URL`, else `sqlite` with databases, and ' +
        '`memory` without them.',
    ),
  decisionLogPath: z
    .string()
    .min(1)
    .optional()
    .describe('The folder of the `sqlite` log. The default is `data/decisions`.'),
  decisionLogUrl: databaseUrlSchema.meta({
    secret: true,
    description:
      'The PostgreSQL database of the `postgres` log, one of its own. All members of a coordinator have the same one.',
  }),
});

/**
 * Prefixes that no other program uses, so an unknown name with such a prefix is a mistake. A HOST or
 * PORT_RANGE may belong to any program.
 */
const RESERVED_NAMES = ['READER_TOKEN', 'OPERATOR_TOKEN', 'MEMBER_TOKEN', 'DECISION_LOG'] as const;

/** The prefix of the variables of the coordinator's options, used by it alone. */
const PREFIX = 'DTC_';

const APPLICATION_NAMES = namesOf(variablesOf(applicationSchema, ''));
const COORDINATOR_NAMES = namesOf(variablesOf(coordinatorOptionsSchema, PREFIX));

const DEFAULT_LOG_PATH = 'data/decisions';

const DATABASE_VARIABLES = ['ORDER_DATABASE_URL', 'INVENTORY_DATABASE_URL', 'PAYMENT_DATABASE_URL'] as const;

/** Where decisions are kept: in the memory of this process, in a folder, or in a database. */
export type DecisionLogChoice =
  | { readonly kind: 'memory' }
  | { readonly kind: 'sqlite'; readonly path: string }
  | { readonly kind: 'postgres'; readonly url: string };

/**
 * The callers that may read the operators' interface, and those that may act. Operators may read everything.
 */
export interface AccessConfiguration {
  readonly readers: readonly Credential[] | 'anyone';
  readonly operators: readonly Credential[];
}

/** All settings of the application. */
export interface Configuration {
  readonly host: string;
  readonly port: number;
  readonly logLevel: LogLevel;
  readonly demo: boolean;
  readonly access: AccessConfiguration;
  /** Undefined if the members of one log do not ask each other. */
  readonly memberTokens?: readonly string[];
  /** Undefined if the services keep their data in memory. */
  readonly databases?: ServiceDatabases;
  readonly decisionLog: DecisionLogChoice;
  /** From a transaction to its trace and its log lines. Undefined if there are none. */
  readonly links?: readonly LinkTemplate[];
  readonly coordinator: ResolvedCoordinatorOptions;
  /**
   * Ignored variables that Kubernetes has made for Services, with prefixes of ours. Undefined if there are
   * none.
   */
  readonly serviceLinks?: readonly string[];
}

/**
 * Reads the configuration: the variables of {@link applicationSchema}, and each option of the coordinator
 * from its own (`timeoutMs` from DTC_TIMEOUT_MS).
 *
 * @throws EnvironmentError when a value is impossible, values do not go together, a variable with a beginning
 * of ours is not known, or others could reach the application and no caller needs a token. It names all of
 * them, so that one start tells all that there is to correct.
 */
export function readConfiguration(environment: NodeJS.ProcessEnv): Configuration {
  const problems: string[] = [];
  const given = gather(problems, () =>
    optionsFromEnvironment(applicationSchema, '', environment, RESERVED_NAMES, COORDINATOR_NAMES),
  );
  const coordinator = gather(problems, () =>
    optionsFromEnvironment(coordinatorOptionsSchema, PREFIX, environment, [PREFIX], APPLICATION_NAMES),
  );
  const application = given && gather(problems, () => applicationOf(given));
  if (application === undefined || coordinator === undefined) throw new EnvironmentError(problems);
  const serviceLinks = serviceLinksIn(
    environment,
    [...RESERVED_NAMES, PREFIX],
    [...APPLICATION_NAMES, ...COORDINATOR_NAMES],
  );
  return { ...application, coordinator, ...(serviceLinks.length > 0 && { serviceLinks }) };
}

type Given = z.output<typeof applicationSchema>;

/** @throws EnvironmentError naming all that does not go together. */
function applicationOf(given: Given): Omit<Configuration, 'coordinator'> {
  const problems: string[] = [];
  const { host, port, logLevel, demo, memberTokens } = given;
  problems.push(...problemsOfDemo(given));
  const access = gather(problems, () => accessOf(given));
  const databases = gather(problems, () => databasesOf(given));
  const decisionLog = gather(problems, () => decisionLogOf(given, databases !== undefined));
  if (access === undefined || decisionLog === undefined || problems.length > 0) {
    throw new EnvironmentError(problems);
  }
  return {
    host,
    port,
    logLevel,
    demo: demo === 'true',
    access,
    ...(memberTokens !== undefined && { memberTokens }),
    ...(databases !== undefined && { databases }),
    decisionLog,
    ...linksOf(given),
  };
}

/** @returns the links that are set. */
export function linksOf({
  traceLink,
  logLink,
}: Pick<Given, 'traceLink' | 'logLink'>): Pick<Configuration, 'links'> {
  const links = [
    ...(traceLink === undefined ? [] : [{ label: 'Trace', url: traceLink }]),
    ...(logLink === undefined ? [] : [{ label: 'Log lines', url: logLink }]),
  ];
  return links.length === 0 ? {} : { links };
}

function problemsOfDemo({ demo, host, readerTokens = [], operatorTokens = [] }: Given): string[] {
  if (demo === 'false') return [];
  const isTaken = [...readerTokens, ...operatorTokens].some(({ name }) => name === DEMO_OPERATOR);
  return [
    ...(isLoopback(host)
      ? []
      : [
          `DEMO: every caller that reaches ${host} could make participants fail and act as an operator; use it on a loopback address, ` +
            'such as HOST=127.0.0.1',
        ]),
    ...(isTaken
      ? [
          `DEMO: has an operator of the name ${DEMO_OPERATOR}; call the one in READER_TOKENS or OPERATOR_TOKENS otherwise`,
        ]
      : []),
  ];
}

/**
 * @throws EnvironmentError when two roles have a name or a token in common, or other machines could read
 * without a token.
 */
export function accessOf({
  host,
  readerTokens: readers = [],
  operatorTokens: operators = [],
  memberTokens = [],
}: Pick<Given, 'host' | 'readerTokens' | 'operatorTokens'> &
  Partial<Pick<Given, 'memberTokens'>>): AccessConfiguration {
  for (const field of ['name', 'token'] as const) {
    const taken = new Set(readers.map((reader) => reader[field]));
    if (!operators.some((operator) => taken.has(operator[field]))) continue;
    throw new EnvironmentError([`READER_TOKENS and OPERATOR_TOKENS: have a ${field} in common`]);
  }
  if ([...readers, ...operators].some(({ token }) => memberTokens.includes(token))) {
    throw new EnvironmentError([
      'MEMBER_TOKENS: has the token of a reader or an operator; give the members one of their own',
    ]);
  }
  if (isLoopback(host)) return { readers: readers.length === 0 ? 'anyone' : readers, operators };
  if (readers.length + operators.length > 0) return { readers, operators };
  throw new EnvironmentError([
    'HOST: can be reached by other machines, but no caller needs a token; set OPERATOR_TOKENS or READER_TOKENS, or the ' +
      'variable with _FILE that names a file of them',
  ]);
}

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

/**
 * @param isDurable whether decisions are kept in a folder by default.
 * @throws EnvironmentError naming what has no meaning with the log that is chosen.
 */
export function decisionLogOf(
  {
    decisionLog,
    decisionLogPath,
    decisionLogUrl,
  }: Pick<Given, 'decisionLog' | 'decisionLogPath' | 'decisionLogUrl'>,
  isDurable: boolean,
): DecisionLogChoice {
  const inFolder = isDurable || decisionLogPath !== undefined ? 'sqlite' : 'memory';
  const kind = decisionLog ?? (decisionLogUrl === undefined ? inFolder : 'postgres');
  const problems: string[] = [];
  if (kind !== 'sqlite' && decisionLogPath !== undefined) {
    problems.push(`DECISION_LOG_PATH: has no meaning with DECISION_LOG=${kind}`);
  }
  if (kind !== 'postgres' && decisionLogUrl !== undefined) {
    problems.push(`DECISION_LOG_URL: has no meaning with DECISION_LOG=${kind}`);
  }
  if (kind === 'postgres' && decisionLogUrl === undefined) {
    problems.push('DECISION_LOG_URL: is missing; set the URL of the database that keeps the decisions');
  }
  if (problems.length > 0) throw new EnvironmentError(problems);
  switch (kind) {
    case 'memory':
      return { kind };
    case 'sqlite':
      return { kind, path: decisionLogPath ?? DEFAULT_LOG_PATH };
    case 'postgres':
      return { kind, url: decisionLogUrl! };
  }
}
