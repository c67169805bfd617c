import type { ConnectionOptions } from 'mysql2';
import { z } from 'zod';
import { describeIssues } from '../coordinator/describe-issues.js';
import { InvalidOptionsError } from '../coordinator/errors.js';
import { durationMs } from '../coordinator/option-fields.js';
import { connectionCount, sharedSettings } from '../sql/settings.js';

const shared = sharedSettings('[A-Za-z_][A-Za-z0-9_]{0,62}', 'database');

/**
 * The settings of a MariaDB resource manager, each with its text, its limits and its default. The docstrings
 * of {@link MariaDbSettings} and the table in docs/mariadb.md are generated from it:
 * `UPDATE_DOCS=1 npx vitest run test/docs`.
 *
 * @internal
 */
export const mariaDbSettingsSchema = z.strictObject({
  workConnections: connectionCount
    .default(16)
    .describe(
      'The most branches that work, or are prepared and wait for their decision, at the same time. A prepared branch keeps its ' +
        'connection until then.',
    ),
  completionConnections: connectionCount
    .default(4)
    .describe(
      'The number of connections for commit, rollback and recovery. One more holds the claims of coordinators on their names.',
    ),
  connectTimeoutMs: durationMs.default(5_000).describe('How long a connection may take to open.'),
  startTimeoutMs: shared.startTimeoutMs,
  lockTimeoutSeconds: z
    .number()
    .int()
    .min(1)
    .max(3_600)
    .meta({ limits: 'a whole number of seconds from 1 to 3_600' })
    .default(1)
    .describe(
      'The longest wait of a statement of the work for a row lock. The server counts in whole seconds. Keep it below ' +
        '`prepareTimeoutMs`.',
    ),
  tombstoneWaitMs: shared.tombstoneWaitMs,
  claimWaitMs: shared.claimWaitMs,
  recoverTimeoutMs: shared.recoverTimeoutMs,
  isolation: shared.isolation,
  guardTable: shared.guardTable,
  createGuardTable: z
    .boolean()
    .default(true)
    .describe(
      'Whether to create that table, and those of the runs, when they are missing. Otherwise the start fails, with the SQL that ' +
        'creates them.',
    ),
  runTable: shared.tableName
    .default('dtc_runs')
    .describe(
      'The table of the runs that a database has accepted, one row for each coordinator, participant and decision log. Without ' +
        'a database it is in that of the guard table. The runs that hold a name now are in a table beside it, whose name ends ' +
        'in `_live`.',
    ),
  retainBranchesMs: shared.retainBranchesMs,
  purgeIntervalMs: shared.purgeIntervalMs,
});

/** Every setting, with its default if it was not given. @publicApi */
export type ResolvedMariaDbSettings = {
  readonly [Setting in keyof MariaDbSettings]-?: NonNullable<MariaDbSettings[Setting]>;
};

/** The optional settings, besides the connection. Each has a default. @publicApi */
export interface MariaDbSettings {
  // options: made from the code
  /**
   * The most branches that work, or are prepared and wait for their decision, at the same time. A prepared
   * branch keeps its connection until then. From 1 to 1_000.
   *
   * @default 16
   */
  readonly workConnections?: number | undefined;
  /**
   * The number of connections for commit, rollback and recovery. One more holds the claims of coordinators on
   * their names. From 1 to 1_000.
   *
   * @default 4
   */
  readonly completionConnections?: number | undefined;
  /**
   * How long a connection may take to open. In milliseconds, from 1 to 86_400_000.
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
   * The longest wait of a statement of the work for a row lock. The server counts in whole seconds. Keep it
   * below `prepareTimeoutMs`. A whole number of seconds from 1 to 3_600.
   *
   * @default 1
   */
  readonly lockTimeoutSeconds?: number | undefined;
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
   * The table in which each branch leaves a row, one for all participants of a database. A plain table name,
   * with its database or without.
   *
   * @default 'dtc_branches'
   */
  readonly guardTable?: string | undefined;
  /**
   * Whether to create that table, and those of the runs, when they are missing. Otherwise the start fails,
   * with the SQL that creates them.
   *
   * @default true
   */
  readonly createGuardTable?: boolean | undefined;
  /**
   * The table of the runs that a database has accepted, one row for each coordinator, participant and
   * decision log. Without a database it is in that of the guard table. The runs that hold a name now are in a
   * table beside it, whose name ends in `_live`. A plain table name, with its database or without.
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

/** The options of a MariaDB resource manager. @publicApi */
export type MariaDbOptions = MariaDbSettings & {
  /**
   * The database, as a URL or as `mysql2` takes it. The library opens its own pools, since no other code may
   * reset a session.
   */
  readonly connection: string | ConnectionOptions;
};

/**
 * Checks the options and fills in the defaults.
 *
 * @throws InvalidOptionsError when an option is unknown or impossible, or the database is not given.
 */
export function resolveMariaDbOptions(
  { connection, ...given }: MariaDbOptions,
  subject: string,
): { readonly connection: string | ConnectionOptions; readonly settings: ResolvedMariaDbSettings } {
  const parsed = mariaDbSettingsSchema.safeParse(given);
  const problems = parsed.success ? [] : describeIssues(parsed.error);
  if (connection === undefined || connection === '') {
    problems.push('give `connection` (a URL, or a configuration of mysql2)');
  }
  if (!parsed.success || problems.length > 0) throw new InvalidOptionsError(subject, problems);
  return { connection, settings: Object.freeze(parsed.data) };
}
