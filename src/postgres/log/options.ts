import type { ClientConfig } from 'pg';
import { z } from 'zod';
import { describeIssues } from '../../coordinator/describe-issues.js';
import { InvalidOptionsError } from '../../coordinator/errors.js';
import { durationMs } from '../../coordinator/option-fields.js';

const SCHEMA_RULE = 'a plain schema name';
const MAX_RETENTION_MS = 365 * 86_400_000;

/** The settings of a decision log on PostgreSQL, each with its text, its limits and its default. */
export const postgresLogSettingsSchema = z.strictObject({
  schema: z
    .string()
    .regex(/^[a-z_][a-z0-9_]{0,62}$/, `must be ${SCHEMA_RULE}`)
    .meta({ limits: SCHEMA_RULE })
    .default('dtc_log')
    .describe('The schema of the tables. One schema serves several coordinators.'),
  createTables: z
    .boolean()
    .default(true)
    .describe(
      'Whether the start creates missing tables. Otherwise it stops, and the error has the SQL that creates them.',
    ),
  connectTimeoutMs: durationMs.default(5_000).describe('How long a connection may take to open.'),
  statementTimeoutMs: durationMs
    .default(5_000)
    .describe('How long a statement may take. Then its connection is given up, and its result is unknown.'),
  outcomeRetentionMs: z
    .number()
    .int()
    .min(1_000)
    .max(MAX_RETENTION_MS)
    .default(86_400_000)
    .describe('How long the outcome of an ended transaction, and its request key, is kept.'),
  purgeIntervalMs: durationMs.default(60_000).describe('How often older outcomes are deleted.'),
  synchronousStandbys: z
    .boolean()
    .default(false)
    .describe(
      'Whether only synchronous standbys take over from the server. Then a member goes on in its epoch after a failover.',
    ),
});

/** Every setting, with its default where none was given. */
export type ResolvedPostgresLogSettings = Readonly<z.output<typeof postgresLogSettingsSchema>>;

/** The settings of a decision log on PostgreSQL, besides the connection. Each has a default. @publicApi */
export interface PostgresLogSettings {
  // options: made from the code
  /**
   * The schema of the tables. One schema serves several coordinators. A plain schema name.
   *
   * @default 'dtc_log'
   */
  readonly schema?: string | undefined;
  /**
   * Whether the start creates missing tables. Otherwise it stops, and the error has the SQL that creates
   * them.
   *
   * @default true
   */
  readonly createTables?: boolean | undefined;
  /**
   * How long a connection may take to open. In milliseconds, from 1 to 86_400_000.
   *
   * @default 5_000
   */
  readonly connectTimeoutMs?: number | undefined;
  /**
   * How long a statement may take. Then its connection is given up, and its result is unknown. In
   * milliseconds, from 1 to 86_400_000.
   *
   * @default 5_000
   */
  readonly statementTimeoutMs?: number | undefined;
  /**
   * How long the outcome of an ended transaction, and its request key, is kept. In milliseconds, from 1_000
   * to 31_536_000_000.
   *
   * @default 86_400_000
   */
  readonly outcomeRetentionMs?: number | undefined;
  /**
   * How often older outcomes are deleted. In milliseconds, from 1 to 86_400_000.
   *
   * @default 60_000
   */
  readonly purgeIntervalMs?: number | undefined;
  /**
   * Whether only synchronous standbys take over from the server. Then a member goes on in its epoch after a
   * failover.
   *
   * @default false
   */
  readonly synchronousStandbys?: boolean | undefined;
  // /options
}

/** Options of {@link PostgresDecisionLog}. @publicApi */
export interface PostgresDecisionLogOptions extends PostgresLogSettings {
  /**
   * The database, as a URL or as `pg` takes it. Connect to the server itself: a pooler that shares sessions
   * between clients breaks the locks and the settings of a session. The log opens three connections, and a
   * fourth to adopt.
   */
  readonly connection: string | ClientConfig;
}

/** @throws InvalidOptionsError when a setting is not valid. */
export function resolveLogSettings(settings: PostgresLogSettings): ResolvedPostgresLogSettings {
  const parsed = postgresLogSettingsSchema.safeParse(settings);
  if (!parsed.success) throw new InvalidOptionsError('PostgresDecisionLog', describeIssues(parsed.error));
  return parsed.data;
}
