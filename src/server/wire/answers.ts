import { z } from 'zod';

const transactionId = z.string();
const heuristicKind = z.enum(['commit', 'rollback', 'mixed', 'hazard']);

const committed = z.object({ status: z.literal('committed'), transactionId });

const aborted = z.object({
  status: z.literal('aborted'),
  transactionId,
  cause: z
    .enum([
      'refused',
      'failed',
      'timed-out',
      'cancelled',
      'rolled-back',
      'rollback-only',
      'not-recorded',
      'presumed',
      'expired',
    ])
    .describe('For programs. `presumed` also stands for a cause that is no longer known.'),
  participant: z.string().exactOptional(),
  branchId: z.string().exactOptional(),
  code: z.string().exactOptional().describe('The code of the refusal, if the participant gave one.'),
  reason: z.string().describe('For people.'),
  temporary: z.boolean().exactOptional().describe('Whether the same request may succeed later.'),
});

const pending = z.object({
  status: z.literal('pending'),
  transactionId,
  decision: z.enum(['commit', 'unknown']),
  reason: z.string(),
});

const heuristic = z.object({
  status: z.literal('heuristic'),
  transactionId,
  decision: z.enum(['commit', 'abort']),
  heuristic: heuristicKind,
  reports: z.array(
    z.object({
      participant: z.string(),
      branchId: z.string(),
      kind: heuristicKind,
      reason: z.string(),
    }),
  ),
});

/** The outcome of a transaction, as its caller is told. */
export const outcomeSchema = z
  .discriminatedUnion('status', [committed, aborted, pending, heuristic])
  .meta({ id: 'Outcome' });
export type OutcomeAnswer = z.output<typeof outcomeSchema>;

/** A transaction was begun, or had been begun by the same request before. */
export const begunSchema = z
  .object({
    transactionId,
    repeated: z
      .literal(true)
      .exactOptional()
      .describe(
        'An earlier request with the key has begun it. Only one that has lost its answer goes on with it.',
      ),
    outcome: outcomeSchema
      .exactOptional()
      .describe('What has become of it, where an earlier request has begun it: pending while it is open.'),
  })
  .meta({ id: 'BegunTransaction' });
export type BegunAnswer = z.output<typeof begunSchema>;

/** A branch is enlisted, or was enlisted by the same request before. */
export const enlistedSchema = z
  .object({ transactionId, branchId: z.string() })
  .meta({ id: 'EnlistedBranch' });
export type EnlistedAnswer = z.output<typeof enlistedSchema>;

/** A transaction can only be rolled back from now on, unless its voting had started before. */
export const rollbackOnlySchema = z
  .object({ transactionId, isRollbackOnly: z.boolean() })
  .meta({ id: 'RollbackOnly' });
export type RollbackOnlyAnswer = z.output<typeof rollbackOnlySchema>;

/** The known state of a transaction. It is never a guess. */
export const knownSchema = z
  .object({
    transactionId,
    status: z.enum(['committed', 'aborted', 'pending', 'elsewhere', 'unknown']),
    owner: z
      .number()
      .int()
      .exactOptional()
      .describe('`elsewhere`: the epoch of the member that may know more.'),
    address: z.string().nullable().exactOptional().describe('`elsewhere`: where that member is reached.'),
    because: z
      .enum(['purged', 'forgotten', 'undecidable', 'foreign', 'log-unavailable'])
      .exactOptional()
      .describe('`unknown`: why. It never means that the transaction was aborted.'),
    view: z
      .looseObject({ transactionId, state: z.string() })
      .nullable()
      .describe('The transaction with its branches, if this member has it in memory.'),
  })
  .meta({ id: 'KnownOutcome' });
export type KnownAnswer = z.output<typeof knownSchema>;

/** The decision for a participant in doubt. */
export const decisionSchema = z
  .object({
    transactionId,
    decision: z
      .enum(['commit', 'abort', 'wait'])
      .describe('`wait`: keep the branch prepared, and ask again later.'),
  })
  .meta({ id: 'Decision' });
export type DecisionAnswer = z.output<typeof decisionSchema>;

/** The coordinator that answers. */
export const greetingSchema = z
  .object({
    version: z.literal(1).describe('Of this interface.'),
    name: z.string(),
    logId: z.string(),
    epoch: z.number().int(),
    run: z.string().describe('What a caller sends as Dtc-Run: `<logId>.<epoch>`.'),
    isShared: z.boolean().describe('Whether several members share its log, and so all request keys.'),
    maxTimeoutMs: z.number().int(),
  })
  .meta({ id: 'Greeting' });
export type GreetingAnswer = z.output<typeof greetingSchema>;

/** A participant is registered. */
export const registeredSchema = z
  .object({ name: z.string(), address: z.string() })
  .meta({ id: 'RegisteredParticipant' });

/** The participants that transactions can name. */
export const participantsSchema = z
  .object({
    participants: z.array(
      z.object({
        name: z.string(),
        address: z.string().nullable().describe('Null for a participant in the process of the coordinator.'),
      }),
    ),
  })
  .meta({ id: 'RegisteredParticipants' });
