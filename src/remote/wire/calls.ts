import { z } from 'zod';
import { REQUEST_ID, TRACEPARENT, TRACESTATE } from '../../coordinator/participant/caller-note.js';
import { originOf } from '../../coordinator/protocol/index.js';
import { MAX_CALLS, MAX_MARKS, MAX_QUESTIONS, WIRE_VERSION } from './limits.js';

/** The longest time that a call may give: a day, in milliseconds. */
export const MAX_TIME_MS = 86_400_000;
/** The highest number of a delivery. */
export const MAX_ATTEMPT = 1_000_000_000;

/** The highest epoch. */
export const MAX_EPOCH = 36 ** 4 - 1;
/** The longest token of a run. */
export const MAX_TOKEN_LENGTH = 200;
const epoch = z.number().int().min(1).max(MAX_EPOCH);
const token = z.string().min(1).max(MAX_TOKEN_LENGTH);
const sequence = z.number().int().min(0).max(9_999_999_999_999);
/** The id of a log. */
export const LOG_ID = /^[0-9a-z]{12}$/;
/** The name of a coordinator, or of a participant. */
export const NAME = /^[a-z][a-z0-9-]{0,31}$/;
/** The id of a branch. */
export const BRANCH_ID = /^[A-Za-z0-9._:-]{1,64}$/;
const logId = z.string().regex(LOG_ID);
const name = z.string().regex(NAME);

/** An id of a transaction that a coordinator can have made. */
export const transactionIdSchema = z
  .string()
  .max(64)
  .refine((id) => originOf(id) !== undefined, 'must be the id of a transaction');
/** The name of a participant. */
export const participantNameSchema = name;
const branchId = z.string().regex(BRANCH_ID);

/** The run of the coordinator that makes the calls of a message. */
export const runSchema = z.object({
  name,
  logId,
  epoch,
  token,
  durable: z.boolean(),
  isShared: z.boolean().optional(),
});
/** As `CoordinatorRun`, without the function. @publicApi */
export type WireRun = z.infer<typeof runSchema>;

const common = {
  /**
   * How long the coordinator waits for the answer, in milliseconds. No clock is compared with another one.
   */
  timeLeftMs: z.number().int().min(1).max(MAX_TIME_MS),
  traceparent: z.string().regex(TRACEPARENT).optional(),
  /**
   * The additions of tracing systems to the context. One of another form is left out: nothing depends on it.
   */
  tracestate: z.string().regex(TRACESTATE).optional().catch(undefined),
};

const branchCallSchema = z.object({
  ...common,
  method: z.enum(['prepare', 'commit', 'rollback', 'commitOnePhase']),
  transactionId: transactionIdSchema,
  branchId,
  payload: z.unknown().optional(),
  attempt: z.number().int().min(0).max(MAX_ATTEMPT),
  /**
   * The id of the request that began the transaction. One of another form is left out: nothing depends on it.
   */
  requestId: z.string().regex(REQUEST_ID).optional().catch(undefined),
});

const claimCallSchema = z.object({
  ...common,
  method: z.literal('claim'),
  /** The answers of the log about runs for which the participant has asked. */
  answers: z.array(z.object({ epoch, token, isOwn: z.boolean() })).max(MAX_QUESTIONS),
});

const recoverCallSchema = z.object({
  ...common,
  method: z.literal('recover'),
  /** The last branch of the previous answer. The list is in the order of {@link keyOfListed}. */
  after: z.object({ transactionId: transactionIdSchema, branchId }).optional(),
});

const forgetCallSchema = z.object({
  ...common,
  method: z.literal('forgetBelow'),
  /**
   * No call of a transaction comes any more whose epoch has a mark, and whose number is not above it. With
   * the epoch 0, `sequence` is the highest epoch that is over as a whole.
   */
  marks: z.array(z.object({ epoch: epoch.or(z.literal(0)), sequence })).max(MAX_MARKS),
});

/** Asks the name, the features and the limits of a participant. */
const capabilitiesCallSchema = z.object({ ...common, method: z.literal('capabilities') });

/** One call to a participant. */
export const callSchema = z.discriminatedUnion('method', [
  branchCallSchema,
  claimCallSchema,
  recoverCallSchema,
  forgetCallSchema,
  capabilitiesCallSchema,
]);

/** A call of one branch, as its host reads it. @publicApi */
export type BranchCall = z.infer<typeof branchCallSchema>;
/** @publicApi */
export type ClaimCall = z.infer<typeof claimCallSchema>;
/** @publicApi */
export type RecoverCall = z.infer<typeof recoverCallSchema>;
/** @publicApi */
export type ForgetCall = z.infer<typeof forgetCallSchema>;
/** One call, as a host reads it. @publicApi */
export type WireCall = z.infer<typeof callSchema>;
/** @publicApi */
export type CallMethod = WireCall['method'];

/**
 * The fields that all calls of one message share. Each call is read alone, so that an invalid one does not
 * spoil the others.
 */
export const envelopeSchema = z.object({
  version: z.literal(WIRE_VERSION),
  participant: participantNameSchema,
  run: runSchema,
  calls: z.array(z.unknown()).min(1).max(MAX_CALLS),
});
export type Envelope = z.infer<typeof envelopeSchema>;

/** The key by which lists of branches are ordered. */
export function keyOfListed(branch: { readonly transactionId: string; readonly branchId: string }): string {
  return `${branch.transactionId}/${branch.branchId}`;
}
