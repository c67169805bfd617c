import { z } from 'zod';
import type { DatabaseInspection } from '../../coordinator/index.js';
import { MAX_LISTED } from '../../coordinator/participant/inspection.js';
import type { DatabasesView } from './database-views.js';
import { KNOWLEDGE } from './knowledge.js';

const text = z.string().max(2_000);
const count = z.number().int().min(0);

const sessionSchema = z
  .object({
    id: z.number().int().describe('Its number at the server.'),
    user: text.nullable(),
    application: text.nullable(),
    state: text.nullable(),
  })
  .meta({ id: 'DatabaseSession' });

const waitSchema = z
  .object({
    session: sessionSchema,
    waitMs: z.number().min(0).nullable(),
    lock: text,
    blockedBy: z
      .array(z.object({ session: sessionSchema.nullable(), prepared: text.nullable() }))
      .max(2 * MAX_LISTED)
      .describe(
        'Sessions, and the ids of prepared transactions. Both null: one that the database does not name.',
      ),
  })
  .meta({ id: 'LockWait' });

const preparedFields = {
  id: text.describe('The global id, as the database has it.'),
  branch: z
    .object({ transactionId: text, participant: text, branchId: text })
    .nullable()
    .describe('Null for one of another program.'),
  ageMs: z.number().min(0).nullable(),
  owner: text.nullable(),
  database: text.nullable(),
  session: z.number().int().nullable().describe('The session that still holds it.'),
};

/**
 * The answer of a participant. A participant is code of users, so other fields of its answer are not used.
 */
export const inspectionSchema = z.object({
  place: text,
  title: text,
  prepared: z
    .array(
      z.object({
        ...preparedFields,
        statements: z.object({ commit: text, rollback: text, how: text }).nullable(),
      }),
    )
    .max(MAX_LISTED),
  preparedTotal: count,
  waits: z.array(waitSchema).max(MAX_LISTED),
  waitsTotal: count,
  notes: z.array(text).max(10),
}) satisfies z.ZodType<DatabaseInspection>;

export const databasesSchema = z
  .object({
    at: z.string().meta({ format: 'date-time' }).describe('When the databases were asked.'),
    databases: z.array(
      z
        .object({
          title: z.string(),
          participants: z.array(z.string()),
          problem: z.string().nullable().describe('Why nothing is known of it now; else null.'),
          prepared: z.array(
            z
              .object({
                ...preparedFields,
                knowledge: z.enum(KNOWLEDGE).describe('What the coordinator knows of it.'),
                why: z.string(),
                statement: z
                  .string()
                  .nullable()
                  .describe('The statement that ends it as decided; null while the decision is not known.'),
                how: z.string().nullable().describe('Who must run it, and where.'),
              })
              .meta({ id: 'PreparedTransaction' }),
          ),
          preparedTotal: count,
          waits: z.array(waitSchema),
          waitsTotal: count,
          notes: z.array(z.string()).describe('What could not be seen, and the right that is missing.'),
        })
        .meta({ id: 'Database' }),
    ),
    unseen: z
      .array(z.object({ participant: z.string(), why: z.string() }))
      .describe('The participants that do not show a database.'),
  })
  .meta({ id: 'Databases' }) satisfies z.ZodType<DatabasesView>;
