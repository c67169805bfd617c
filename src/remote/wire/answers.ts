import { z } from 'zod';
import { MAX_VALID_FOR_MS } from '../../coordinator/participant/participant.js';
import { HEURISTIC_KINDS } from '../../coordinator/protocol/index.js';
import { type CallMethod, MAX_EPOCH } from './calls.js';
import { MAX_CALLS, MAX_LISTED, MAX_QUESTIONS } from './limits.js';
import { plainAnswer } from './plain.js';

const text = z.string().max(1_000);
const count = z.number().int().min(0);
const VERSION_TEXT = /^[\w.+-]{1,50}$/;
/** The place of the call in its message, from 0. */
const id = z
  .number()
  .int()
  .min(0)
  .max(MAX_CALLS - 1);

const voteSchema = z.object({
  id,
  kind: z.literal('vote'),
  vote: z.union([
    z.enum(['commit', 'read-only', 'abort']),
    // A vote that expires. The time is counted from the call.
    z.object({ vote: z.literal('commit'), validForMs: z.number().gt(0).max(MAX_VALID_FOR_MS) }),
    z.object({
      vote: z.literal('abort'),
      code: z.string().max(200),
      reason: text,
      conflict: z.boolean().optional(),
      overloaded: z.boolean().optional(),
      temporary: z.boolean().optional(),
    }),
  ]),
});

/** The decision was carried out, or the claim, or the marks were stored. */
const doneSchema = z.object({ id, kind: z.literal('done') });

/** The branch has ended against the decision, or may have. */
const heuristicSchema = z.object({
  id,
  kind: z.literal('heuristic'),
  heuristic: z.enum(HEURISTIC_KINDS),
  reason: text,
});

/** Nothing was done: another process is at work on the branch, or the host is about to stop. */
const tryAgainSchema = z.object({ id, kind: z.literal('try-again'), reason: text });

/** The participant has failed. */
const errorSchema = z.object({
  id,
  kind: z.literal('error'),
  code: z.string().max(100).optional(),
  reason: text,
});

/** The participant asks about earlier runs before it accepts the claim. */
const askSchema = z.object({
  id,
  kind: z.literal('ask'),
  questions: z
    .array(z.object({ epoch: z.number().int().min(1).max(MAX_EPOCH), token: z.string().max(200) }))
    .min(1)
    .max(MAX_QUESTIONS),
});

const branchesSchema = z.object({
  id,
  kind: z.literal('branches'),
  branches: z
    .array(
      z.object({
        transactionId: z.string().max(200),
        branchId: z.string().max(200),
        payload: z.unknown().optional(),
      }),
    )
    .max(MAX_LISTED),
  /** Whether the list goes on after the last of these branches. */
  more: z.boolean(),
});

const capabilitiesSchema = z.object({
  id,
  kind: z.literal('capabilities'),
  participant: z.string().max(100),
  /** Whether it commits the only branch of a transaction in one phase. */
  onePhase: z.boolean(),
  /** Whether its records outlive the host. */
  durable: z.boolean(),
  /** What the process is. Hosts of earlier versions leave it out, and nothing depends on it. */
  host: z
    .object({
      version: z.string().regex(VERSION_TEXT).optional(),
      atWork: count.optional(),
      calls: count.optional(),
      errors: count.optional(),
    })
    .optional()
    .catch(undefined),
});

const answerSchema = z.discriminatedUnion('kind', [
  voteSchema,
  doneSchema,
  heuristicSchema,
  tryAgainSchema,
  errorSchema,
  askSchema,
  branchesSchema,
  capabilitiesSchema,
]);

/** One answer, as the coordinator reads it. @publicApi */
export type WireAnswer = z.infer<typeof answerSchema>;
/** An answer without the number of its call. @publicApi */
export type CallAnswer = WireAnswer extends infer A ? (A extends unknown ? Omit<A, 'id'> : never) : never;

/** The answers with a meaning, besides `try-again` and `error`, which every call may get. */
const DOCUMENTED: Readonly<Record<CallMethod, readonly WireAnswer['kind'][]>> = {
  prepare: ['vote'],
  commitOnePhase: ['vote', 'heuristic'],
  commit: ['done', 'heuristic'],
  rollback: ['done', 'heuristic'],
  claim: ['done', 'ask'],
  recover: ['branches'],
  forgetBelow: ['done'],
  capabilities: ['capabilities'],
};

/**
 * Reads one answer. It is of the documented form, or it is no answer: then nothing is known of its call.
 *
 * @param value read from JSON.
 */
export function readAnswer(value: unknown): WireAnswer | undefined {
  return plainAnswer(value) ?? parsedAnswer(value);
}

/** As {@link readAnswer}, by the schema alone. */
export function parsedAnswer(value: unknown): WireAnswer | undefined {
  const parsed = answerSchema.safeParse(value);
  return parsed.success ? parsed.data : undefined;
}

/** Whether an answer is one that the call can get. A vote in answer to a commit is not. */
export function answers(method: CallMethod, answer: CallAnswer): boolean {
  const { kind } = answer;
  if (kind === 'try-again' || kind === 'error') return true;
  if (!DOCUMENTED[method].includes(kind)) return false;
  return method !== 'commitOnePhase' || kind !== 'vote' || answer.vote !== 'read-only';
}
