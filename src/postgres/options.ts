import type { ClientConfig, Pool } from 'pg';
import { z } from 'zod';
import { describeIssues } from '../coordinator/describe-issues.js';
import { InvalidOptionsError } from '../coordinator/errors.js';
import { durationMs } from '../coordinator/option-fields.js';
import { connectionCount, sharedSettings } from '../sql/settings.js';

const shared = sharedSettings('[a-z_][a-z0-9_]{0,62}', 'schema');

/**
 * The settings of a PostgreSQL resource manager, each with its text, its limits and its default. The
 * docstrings of {@link PostgresSettings} and the table in docs/postgres.md are generated from it:
 * `UPDATE_DOCS=1 npx vitest run test/docs`.
 *
 * @internal
 */
export const postgresSettingsSchema = z.strictObject({
  workConnections: connectionCount
    .default(8)
    .describe('The most branches that work at once: the size of the pool for prepare.'),
  completionConnections: connectionCount
    .default(4)
    .describe(
      'The number of connections for commit, rollback and recovery. One more holds the claim of the coordinator on its name.',
    ),
  connectTimeoutMs: durationMs
    .default(5_000)
    .describe('How long a connection may take to open, or to become free.'),
  startTimeoutMs: shared.startTimeoutMs,
  lockTimeoutMs: durationMs
    .default(250)
    .describe(
      'The longest wait of a statement of the work for a lock; a random time between half of this and all of it, so that of two ' +
        'branches that wait for each other only one gives up. Keep it well below `prepareTimeoutMs`, and above the time that ' +
        'earlier transactions take to commit: while two wait for each other in different databases, all that queue ' +
        'behind them wait as well.',
    ),
  tombstoneWaitMs: shared.tombstoneWaitMs,
  claimWaitMs: shared.claimWaitMs,
  recoverTimeoutMs: shared.recoverTimeoutMs,
  isolation: shared.isolation,
  pipelining: z
    .boolean()
    .default(true)
    .describe(
      'Whether statements are sent without waiting for the previous answer, which saves round trips. Cursors and ' +
        'streams of rows need `false`.',
    ),
  prepareStatements: z
    .boolean()
    .default(true)
    .describe(
      'Whether a repeated statement is prepared on its connection, so that it is parsed and planned only once: at most 100 ' +
        'statements of batches, and 100 changes with values of other work.',
    ),
  grouped: z
    .boolean()
    .default(false)
    .describe(
      'Whether a participant with batch work takes part in groups: its branches of several transactions are prepared as one. ' +
        'The work may run more than once, so it may do nothing outside of its database. Only at `read committed`, and ' +
        'with `prepareStatements`.',
    ),
  guardTable: shared.guardTable,
  createGuardTable: z
    .boolean()
    .default(true)
    .describe(
      'Whether to create that table, and the table of the runs, when it is missing. Otherwise the start fails, with the SQL ' +
        'that creates it.',
    ),
  runTable: shared.tableName
    .default('dtc_runs')
    .describe(
      'The table of the runs that a database has accepted, one row for each coordinator, participant and decision log. ' +
        'Without a schema it is in the schema of the guard table.',
    ),
  retainBranchesMs: shared.retainBranchesMs,
  purgeIntervalMs: shared.purgeIntervalMs,
});

/** Every setting, with its default if it was not given. @publicApi */
export type ResolvedPostgresSettings = {
  readonly [Setting in keyof PostgresSettings]-?: NonNullable<PostgresSettings[Setting]>;
};

/** Two pools of one database, under one role. The library does not close them. @publicApi */
export interface PostgresPools {
  /**
   * For the work of branches, and for nothing else. Branch limits, the isolation level and the rule that only
   * a branch may write are set in its sessions, and stay.
   */
  readonly work: Pool;
  /**
   * For commit, rollback and recovery alone: in one pool for both, prepares that wait for locks would hold
   * the connections that the commits need to release them. One of at least two connections holds the claims
   * of the coordinator for all participants that share the pool. Each further coordinator needs one more.
   */
  readonly completion: Pool;
}

/** The optional settings, besides the connection. Each has a default. @publicApi */
export interface PostgresSettings {
  // options: made from the code
  /**
   * The most branches that work at once: the size of the pool for prepare. From 1 to 1_000.
   *
   * @default 8
   */
  readonly workConnections?: number | undefined;
  /**
   * The number of connections for commit, rollback and recovery. One more holds the claim of the coordinator
   * on its name. From 1 to 1_000.
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
   * The longest wait of a statement of the work for a lock; a random time between half of this and all of it,
   * so that of two branches that wait for each other only one gives up. Keep it well below
   * `prepareTimeoutMs`, and above the time that earlier transactions take to commit: while two wait for each
   * other in different databases, all that queue behind them wait as well. In milliseconds, from 1 to
   * 86_400_000.
   *
   * @default 250
   */
  readonly lockTimeoutMs?: number | undefined;
  /**
   * How long a rollback waits for a running prepare of its branch. Then it is tried again. In milliseconds,
   * from 1 to 86_400_000.
   *
   * @default 1_000
   */
  readonly tombstoneWaitMs?: number | undefined;
  /**
   * How long a start waits for another process that holds the name of the coordinator before it is refused.
   * The server may notice a killed process a little late. In milliseconds, from 1 to 86_400_000.
   *
   * @default 5_000
   */
  readonly claimWaitMs?: number | undefined;
  /**
   * The time limit for listing the prepared branches. In milliseconds, from 1 to 86_400_000.
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
   * Whether statements are sent without waiting for the previous answer, which saves round trips. Cursors and
   * streams of rows need `false`.
   *
   * @default true
   */
  readonly pipelining?: boolean | undefined;
  /**
   * Whether a repeated statement is prepared on its connection, so that it is parsed and planned only once:
   * at most 100 statements of batches, and 100 changes with values of other work.
   *
   * @default true
   */
  readonly prepareStatements?: boolean | undefined;
  /**
   * Whether a participant with batch work takes part in groups: its branches of several transactions are
   * prepared as one. The work may run more than once, so it may do nothing outside of its database. Only at
   * `read committed`, and with `prepareStatements`.
   *
   * @default false
   */
  readonly grouped?: boolean | undefined;
  /**
   * The table in which each branch leaves a row, one for all participants of a database. A plain table name,
   * with its schema or without.
   *
   * @default 'dtc_branches'
   */
  readonly guardTable?: string | undefined;
  /**
   * Whether to create that table, and the table of the runs, when it is missing. Otherwise the start fails,
   * with the SQL that creates it.
   *
   * @default true
   */
  readonly createGuardTable?: boolean | undefined;
  /**
   * The table of the runs that a database has accepted, one row for each coordinator, participant and
   * decision log. Without a schema it is in the schema of the guard table. A plain table name, with its
   * schema or without.
   *
   * @default 'dtc_runs'
   */
  readonly runTable?: string | undefined;
  /**
   * The least age at which a row of the guard table is deleted. In milliseconds, from 1 to 86_400_000.
   *
   * @default 86_400_000
   */
  readonly retainBranchesMs?: number | undefined;
  /**
   * How often old rows are deleted. A row is deleted only after it was visible for this long. In
   * milliseconds, from 1 to 86_400_000.
   *
   * @default 600_000
   */
  readonly purgeIntervalMs?: number | undefined;
  // /options
}

/** The database: a connection string, a client configuration of `pg`, or pools. @publicApi */
export type PostgresConnection =
  | { readonly connection: string | ClientConfig; readonly pools?: undefined }
  | { readonly pools: PostgresPools; readonly connection?: undefined };

/** The options of a PostgreSQL resource manager. @publicApi */
export type PostgresOptions = PostgresConnection & PostgresSettings;

/**
 * Checks the options and fills in the defaults.
 *
 * @throws InvalidOptionsError when an option is unknown or impossible, or the database is given twice or not
 * at all.
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
  if (parsed.success && parsed.data.grouped) problems.push(...problemsOfGroups(parsed.data));
  const target = connection ?? pools;
  if (!parsed.success || target === undefined || problems.length > 0)
    throw new InvalidOptionsError(subject, problems);
  return { connection: target, settings: Object.freeze(parsed.data) };
}

/** The members of a group share a transaction, and its snapshot at the higher levels. */
function problemsOfGroups({ isolation, prepareStatements }: ResolvedPostgresSettings): string[] {
  return [
    ...(isolation === 'read committed'
      ? []
      : [
          `grouped: the members of a group would not see each other at isolation '${isolation}'; leave out one of the two`,
        ]),
    ...(prepareStatements
      ? []
      : ['grouped: it needs prepared statements; leave out `prepareStatements: false`']),
  ];
}

function areTwo({ work, completion }: Partial<PostgresPools>): boolean {
  return work !== undefined && completion !== undefined && work !== completion;
}
