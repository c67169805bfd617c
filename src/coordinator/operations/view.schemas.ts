import { z } from 'zod';
import type { ParticipantView } from '../observation/coordinator-status.js';
import type { BranchState, BranchView, TransactionView } from '../observation/transaction-view.js';
import type { TimelineEntry } from '../observation/timeline.js';
import { STATES } from '../protocol/index.js';

// What the views look like, for OpenAPI. The compiler holds them to the types that the views are made as.

const heuristicKind = z.enum(['commit', 'rollback', 'mixed', 'hazard']);
const moment = z.string().meta({ format: 'date-time' });

const branchStates = [
  'enlisted',
  'preparing',
  'prepared',
  'read-only',
  'refused',
  'committing',
  'committed',
  'rolling-back',
  'rolled-back',
  'heuristic',
] as const satisfies readonly BranchState[];

const branchSchema = z
  .object({
    branchId: z.string(),
    participant: z.string(),
    vote: z.enum(['commit', 'read-only', 'abort', 'none']).nullable(),
    state: z.enum(branchStates),
    stalled: z.boolean(),
    attempts: z.number().int().describe('Attempts to deliver the decision.'),
    lastError: z.string().nullable(),
    nextAttemptAt: moment.nullable(),
    heuristic: z.object({ kind: heuristicKind, reason: z.string() }).nullable(),
  })
  .meta({ id: 'Branch' }) satisfies z.ZodType<BranchView>;

const timelineEntrySchema = z
  .object({
    atMs: z.number().describe('Since the begin of the transaction.'),
    event: z.string(),
    branchId: z.string().exactOptional(),
    attempt: z.number().int().exactOptional(),
    detail: z.string().exactOptional(),
  })
  .meta({ id: 'TimelineEntry' }) satisfies z.ZodType<Omit<TimelineEntry, 'event'>>;

export const transactionSchema = z
  .object({
    transactionId: z.string(),
    name: z.string(),
    state: z.enum(STATES),
    stalled: z.boolean().describe('A branch used up its attempts and waits for the recovery job.'),
    decision: z.enum(['commit', 'abort']).nullable(),
    cause: z.string().nullable().describe('Why it was aborted, for programs.'),
    reason: z.string().nullable().describe('Why it was aborted, in words.'),
    heuristic: heuristicKind.nullable(),
    startedAt: moment,
    deadlineAt: moment,
    decidedAt: moment.nullable(),
    endedAt: moment.nullable(),
    durationMs: z.number().nullable(),
    branches: z.array(branchSchema),
    timeline: z.array(timelineEntrySchema),
  })
  .meta({ id: 'Transaction' }) satisfies z.ZodType<Omit<TransactionView, 'cause' | 'timeline'>>;

const counts = z.number().int().min(0);

const participantSchema = z
  .object({
    name: z.string(),
    className: z.string(),
    onePhase: z.boolean(),
    ambient: z.boolean(),
    prepareTimeoutMs: counts,
    completionTimeoutMs: counts,
    maxAttempts: counts,
    retryBaseMs: counts,
    retryCapMs: counts,
    counts: z.object({
      commitVotes: counts,
      readOnlyVotes: counts,
      refusals: counts,
      failures: counts,
      timeouts: counts,
      lateAnswers: counts,
      committed: counts,
      rolledBack: counts,
      failedAttempts: counts,
      heuristicReports: counts,
      stalled: counts,
    }),
  })
  .meta({ id: 'Participant' }) satisfies z.ZodType<ParticipantView>;

export const transactionListSchema = z.object({ transactions: z.array(transactionSchema) });
export const participantListSchema = z.object({ participants: z.array(participantSchema) });
