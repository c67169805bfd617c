import { z } from 'zod';
import { durationMs } from '../coordinator/option-fields.js';

/** The size of a pool. */
export const connectionCount = z.number().int().min(1).max(1_000);

/** The isolation levels of the work. */
const ISOLATION = ['read committed', 'repeatable read', 'serializable'] as const;

/**
 * The settings that are the same at every database, each with its text, its limits and its default.
 *
 * @param identifier the pattern of a plain name, as its source.
 * @param place the object that a table is in.
 */
export function sharedSettings(identifier: string, place: 'schema' | 'database') {
  const rule = `a plain table name, with its ${place} or without`;
  const tableName = z
    .string()
    .regex(new RegExp(`^(${identifier}\\.)?${identifier}$`), `must be ${rule}`)
    .meta({ limits: rule });
  return {
    tableName,
    startTimeoutMs: durationMs.default(10_000).describe('How long the checks at the start may take.'),
    tombstoneWaitMs: durationMs
      .default(1_000)
      .describe('How long a rollback waits for a running prepare of its branch. Then it is tried again.'),
    claimWaitMs: durationMs
      .default(5_000)
      .describe(
        'How long a start waits for another process that holds the name of the coordinator before it is refused. The server ' +
          'may notice a killed process a little late.',
      ),
    recoverTimeoutMs: durationMs
      .default(10_000)
      .describe('The time limit for listing the prepared branches.'),
    isolation: z.enum(ISOLATION).default('read committed').describe('The isolation level of the work.'),
    guardTable: tableName
      .default('dtc_branches')
      .describe('The table in which each branch leaves a row, one for all participants of a database.'),
    retainBranchesMs: durationMs
      .default(86_400_000)
      .describe('The least age at which a row of the guard table is deleted.'),
    purgeIntervalMs: durationMs
      .default(600_000)
      .describe('How often old rows are deleted. A row is deleted only after it was visible for this long.'),
  };
}
