import type { ClientConfig, Pool } from 'pg';
import { z } from 'zod';
import { describeIssues } from '../coordinator/describe-issues.js';
import { InvalidOptionsError } from '../coordinator/index.js';
import { durationMs } from '../coordinator/option-fields.js';

const connections = z.number().int().min(1).max(1_000);
const IDENTIFIER = '[a-z_][a-z0-9_]{0,62}';

const TABLE_RULE = 'a plain table name, with its schema or without';
const tableName = z
  .string()
  .regex(new RegExp(`^(${IDENTIFIER}\\.)?${IDENTIFIER}$`), `must be ${TABLE_RULE}`)
  .meta({ limits: TABLE_RULE });

/**
 * The settings of a PostgreSQL resource manager, each with its text, its limits and its default. The docstrings of
 * {@link PostgresSettings} and the table in docs/postgres.md are made from it: `UPDATE_DOCS=1 npx vitest run test/docs`.
 */
export const postgresSettingsSchema = z.strictObject({
  workConnections: connections
    .default(8)
    .describe('How many branches may be at work at once: the size of the pool for prepare.'),
  completionConnections: connections
    .default(4)
    .describe(
      'How many connections are kept for commit, rollback and recovery. One more holds the claim of the coordinator on its name.',
    ),
  connectTimeoutMs: durationMs
    .default(5_000)
    .describe('How long a connection may take to open, or to become free.'),
  startTimeoutMs: durationMs.default(10_000).describe('How long the checks at the start may take.'),
  lockTimeoutMs: durationMs
    .default(250)
    .describe(
      'How long a statement of the work waits for a lock at most; at random between half of it and all of it, so that of two ' +
        'branches that wait for each other only one gives up. Keep it well below `prepareTimeoutMs`, and above what the ' +
        'transactions before it take to commit: while two wait for each other in different databases, all that queue ' +
        'behind them wait as well.',
    ),
  tombstoneWaitMs: durationMs
    .default(1_000)
    .describe(
      'How long a rollback waits for a prepare of its branch that is under way. Then it is tried again.',
    ),
  claimWaitMs: durationMs
    .default(5_000)
    .describe(
      'How long a start waits for another process that holds the name of the coordinator before it is refused. The server ' +
        'may notice a little late that a process was killed.',
    ),
  recoverTimeoutMs: durationMs.default(10_000).describe('How long the list of prepared branches may take.'),
  isolation: z
    .enum(['read committed', 'repeatable read', 'serializable'])
    .default('read committed')
    .describe('The isolation level of the work.'),
  pipelining: z
    .boolean()
    .default(true)
    .describe(
      'Whether statements are sent without waiting for the answer to the one before, which saves round trips. Cursors, and ' +
        'whatever streams rows, need `false`.',
    ),
  prepareStatements: z
    .boolean()
    .default(true)
    .describe(
      'Whether a statement of a batch that comes again on a connection is prepared there, so that it is parsed and planned ' +
        'once: 100 statements at most.',
    ),
  guardTable: tableName
    .default('dtc_branches')
    .describe('The table in which each branch leaves a row, one for all participants of a database.'),
  createGuardTable: z
    .boolean()
    .default(true)
    .describe(
      'Whether that table, and the one of the runs, is created when it is missing. Else the start is stopped, with the SQL ' +
        'that creates it.',
    ),
  runTable: tableName
    .default('dtc_runs')
    .describe(
      'The table of the runs that a database has let in, one row for each coordinator, participant and decision log. ' +
        'Without a schema it is in that of the guard table.',
    ),
  retainBranchesMs: durationMs
    .default(86_400_000)
    .describe('How old a row of the guard table is, at least, when it is deleted.'),
  purgeIntervalMs: durationMs
    .default(600_000)
    .describe('How often old rows are deleted. None is deleted before it was visible for this long.'),
});

/** Every setting, with its default where none was given. @publicApi */
export type ResolvedPostgresSettings = Readonly<z.output<typeof postgresSettingsSchema>>;

/** Two pools of one database, under one role. They are not closed by whoever gets them. @publicApi */
export interface PostgresPools {
  /**
   * For the work of branches, and for nothing else: their limits, their isolation level and that only a branch may write
   * are set in its sessions, and stay.
   */
  readonly work: Pool;
  /**
   * For commit, rollback and recovery alone: in one pool for both, the prepares that wait for locks would hold the
   * connections that the commits need to free them. One of at least two connections holds the claims of the coordinator for
   * all participants that share the pool; each further coordinator needs one more.
   */
  readonly completion: Pool;
}

/** What may be set, besides the connection. Everything has a default. @publicApi */
export interface PostgresSettings {
  // options: made from the code
  /**
   * How many branches may be at work at once: the size of the pool for prepare. From 1 to 1_000.
   *
   * @default 8
   */
  readonly workConnections?: number | undefined;
  /**
   * How many connections are kept for commit, rollback and recovery. One more holds the claim of the
   * coordinator on its name. From 1 to 1_000.
   *
   * @default 4
   */
  readonly completionConnections?: number | undefined;
  /**
   * How long a connection may take to open, or to become free. In milliseconds, from 1 to 86_400_000.
   *
   * @default 5_000
   */
  readonly connectTimeoutMs?: number | undefined;
  /**
   * How long the checks at the start may take. In milliseconds, from 1 to 86_400_000.
   *
   * @default 10_000
   */
  readonly startTimeoutMs?: number | undefined;
  /**
   * How long a statement of the work waits for a lock at most; at random between half of it and all of it, so
   * that of two branches that wait for each other only one gives up. Keep it well below `prepareTimeoutMs`,
   * and above what the transactions before it take to commit: while two wait for each other in different
   * databases, all that queue behind them wait as well. In milliseconds, from 1 to 86_400_000.
   *
   * @default 250
   */
  readonly lockTimeoutMs?: number | undefined;
  /**
   * How long a rollback waits for a prepare of its branch that is under way. Then it is tried again. In
   * milliseconds, from 1 to 86_400_000.
   *
   * @default 1_000
   */
  readonly tombstoneWaitMs?: number | undefined;
  /**
   * How long a start waits for another process that holds the name of the coordinator before it is refused.
   * The server may notice a little late that a process was killed. In milliseconds, from 1 to 86_400_000.
   *
   * @default 5_000
   */
  readonly claimWaitMs?: number | undefined;
  /**
   * How long the list of prepared branches may take. In milliseconds, from 1 to 86_400_000.
   *
   * @default 10_000
   */
  readonly recoverTimeoutMs?: number | undefined;
  /**
   * The isolation level of the work.
   *
   * @default 'read committed'
   */
  readonly isolation?: 'read committed' | 'repeatable read' | 'serializable' | undefined;
  /**
   * Whether statements are sent without waiting for the answer to the one before, which saves round trips.
   * Cursors, and whatever streams rows, need `false`.
   *
   * @default true
   */
  readonly pipelining?: boolean | undefined;
  /**
   * Whether a statement of a batch that comes again on a connection is prepared there, so that it is parsed
   * and planned once: 100 statements at most.
   *
   * @default true
   */
  readonly prepareStatements?: boolean | undefined;
  /**
   * The table in which each branch leaves a row, one for all participants of a database. A plain table name,
   * with its schema or without.
   *
   * @default 'dtc_branches'
   */
  readonly guardTable?: string | undefined;
  /**
   * Whether that table, and the one of the runs, is created when it is missing. Else the start is stopped,
   * with the SQL that creates it.
   *
   * @default true
   */
  readonly createGuardTable?: boolean | undefined;
  /**
   * The table of the runs that a database has let in, one row for each coordinator, participant and decision
   * log. Without a schema it is in that of the guard table. A plain table name, with its schema or without.
   *
   * @default 'dtc_runs'
   */
  readonly runTable?: string | undefined;
  /**
   * How old a row of the guard table is, at least, when it is deleted. In milliseconds, from 1 to 86_400_000.
   *
   * @default 86_400_000
   */
  readonly retainBranchesMs?: number | undefined;
  /**
   * How often old rows are deleted. None is deleted before it was visible for this long. In milliseconds,
   * from 1 to 86_400_000.
   *
   * @default 600_000
   */
  readonly purgeIntervalMs?: number | undefined;
  // /options
}

/** Where the database is: a connection string, what `pg` takes as a client's configuration, or pools. @publicApi */
export type PostgresConnection =
  | { readonly connection: string | ClientConfig; readonly pools?: undefined }
  | { readonly pools: PostgresPools; readonly connection?: undefined };

/** The options of a PostgreSQL resource manager. @publicApi */
export type PostgresOptions = PostgresConnection & PostgresSettings;

/**
 * Checks the options and fills in the defaults.
 *
 * @throws InvalidOptionsError when one is unknown or impossible, or the database is named twice or not at all.
 */
export function resolvePostgresOptions(
  { connection, pools, ...given }: PostgresOptions,
  subject: string,
): {
  readonly connection: string | ClientConfig | PostgresPools;
  readonly settings: ResolvedPostgresSettings;
} {
  const parsed = postgresSettingsSchema.safeParse(given);
  const problems = parsed.success ? [] : describeIssues(parsed.error);
  if ((connection === undefined) === (pools === undefined)) {
    problems.push('give either `connection` (a connection string or a configuration of pg) or `pools`');
  } else if (pools !== undefined && !areTwo(pools)) {
    problems.push(
      'pools: give two different ones, `work` and `completion`, so that commits never wait for prepares',
    );
  } else if (pools !== undefined && (pools.completion.options?.max ?? 2) < 2) {
    problems.push(
      'pools: `completion` needs at least two connections, as one holds the claim of the coordinator',
    );
  }
  const target = connection ?? pools;
  if (!parsed.success || target === undefined || problems.length > 0)
    throw new InvalidOptionsError(subject, problems);
  return { connection: target, settings: Object.freeze(parsed.data) };
}

function areTwo({ work, completion }: Partial<PostgresPools>): boolean {
  return work !== undefined && completion !== undefined && work !== completion;
}
