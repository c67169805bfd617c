import { z } from 'zod';

/**
 * The version of the interface for callers. It changes only when an old caller would misunderstand an answer.
 */
export const CALLER_INTERFACE_VERSION = 1;

/** The header that names a request, so that a repeat of it does nothing twice. */
export const REQUEST_KEY_HEADER = 'Idempotency-Key';

/**
 * The header by which a caller says for which run of the coordinator it means a request: `<logId>.<epoch>`.
 */
export const RUN_HEADER = 'Dtc-Run';

/** A run of a coordinator, as that header names it. */
export const RUN_PATTERN = '^[0-9a-z]{12}\\.[1-9][0-9]{0,6}$';

/**
 * The header with the id of the request that a transaction belongs to. It is no part of what a key stands
 * for.
 */
export const REQUEST_ID_HEADER = 'X-Request-Id';

/** The header that carries a transaction with a request to another service. */
export const TRANSACTION_HEADER = 'dtc-transaction';

/** The header with the credential of the service that carries a transaction: `Bearer <token>`. */
export const CARRIER_HEADER = 'dtc-authorization';

/** A request key: so short that it fits into a log together with the name of its caller. */
export const REQUEST_KEY_PATTERN = '^[\\x21-\\x7e]{1,128}$';

/** The id of a transaction, as any coordinator makes it. */
export const TRANSACTION_ID_PATTERN = '^[a-z][a-z0-9-]{0,31}(\\.[0-9a-z]{1,16}){3}$';

/** The most branches that a request may name. The coordinator has a limit of its own, which is lower. */
const MAX_BRANCHES = 100;

const participant = z
  .string()
  .min(1)
  .max(100)
  .describe('The name under which the participant is registered.');

const branchId = z
  .string()
  .regex(/^[A-Za-z0-9._:-]{1,64}$/, 'must be 1 to 64 characters of A-Z, a-z, 0-9, ".", "_", ":" and "-"')
  .describe('The id of the branch, unique within its transaction.');

const payload = z.unknown().describe('Handed to the participant as it is: any JSON value.');

const name = z.string().max(100).describe('The purpose, for logs and listings.');

const timeoutMs = z
  .number()
  .int()
  .min(1)
  .max(86_400_000)
  .describe('The time limit until the decision, in milliseconds.');

const prepareInTurn = z.boolean().describe('Whether the participants prepare one after the other.');

const attributes = z
  .record(z.string().max(40), z.string().max(200))
  .describe('Keys of the business, such as `{ "orderId": "4711" }`: at most 8.');

const reason = z.string().max(300).describe('The reason, for people.');

const branchSchema = z
  .strictObject({ participant, payload: payload.optional(), branchId: branchId.exactOptional() })
  .meta({ id: 'CallerBranch' });

/** The request that begins a transaction. */
export const beginSchema = z
  .strictObject({
    name: name.exactOptional(),
    timeoutMs: timeoutMs.exactOptional(),
    prepareInTurn: prepareInTurn.exactOptional(),
    attributes: attributes.exactOptional(),
  })
  .meta({ id: 'BeginTransaction' });
export type BeginMessage = z.output<typeof beginSchema>;

/** The request that runs a transaction from its start to its outcome. */
export const runSchema = beginSchema
  .extend({ branches: z.array(branchSchema).max(MAX_BRANCHES) })
  .meta({ id: 'RunTransaction' });
export type RunMessage = z.output<typeof runSchema>;

/** The request that adds a branch. The id is required: a repeated request then adds nothing. */
export const enlistSchema = z
  .strictObject({ participant, payload: payload.optional(), branchId })
  .meta({ id: 'EnlistBranch' });
export type EnlistMessage = z.output<typeof enlistSchema>;

/** Why a transaction is to be rolled back. */
export const rollbackSchema = z.strictObject({ reason: reason.exactOptional() }).meta({ id: 'RollBack' });
export type RollbackMessage = z.output<typeof rollbackSchema>;

/** A commit says nothing more. */
export const commitSchema = z.strictObject({}).meta({ id: 'Commit' });

/** Where a participant is reached. */
export const registerSchema = z
  .strictObject({
    address: z
      .string()
      .min(1)
      .max(2_000)
      .describe('The URL of its host, with the prefix. Its origin must be one that the coordinator allows.'),
  })
  .meta({ id: 'RegisterParticipant' });
export type RegisterMessage = z.output<typeof registerSchema>;
