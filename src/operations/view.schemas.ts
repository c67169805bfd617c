import { z } from 'zod';
import {
  type Alarm,
  type BranchState,
  type BranchView,
  type CoordinatorView,
  HEURISTIC_KINDS,
  OPERATOR_ACTIONS,
  type ParticipantView,
  STATES,
  type TimelineEntry,
  type TransactionSummary,
  type TransactionView,
} from '../coordinator/index.js';
import { ALARM_NAMES } from '../coordinator/observation/alarms/alarm.js';
import type { Caller } from './access/access.js';
import type { AuditEntryView } from './audit-page.js';
import { LINK_PLACEHOLDERS, type LinksView } from './links.js';
import type { GroupResult } from './group-result.js';
import type { HistoryPage } from './history-page.js';
import type {
  AttentionPage,
  MembersNow,
  OutcomeOnly,
  OwnedTransaction,
  OwnerView,
  UnansweredMember,
} from './members/owned.js';

// The views, for OpenAPI. The compiler compares them with the types of the views.

const heuristicKind = z.enum(HEURISTIC_KINDS);
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
    expiresAt: moment.exactOptional().describe('Until when its vote for commit holds, if the vote expires.'),
    state: z.enum(branchStates),
    stalled: z.boolean(),
    held: z.boolean().describe('Its completion waits, because its participant is paused.'),
    attempts: z.number().int().describe('Attempts to deliver the decision.'),
    lastError: z.string().nullable(),
    nextAttemptAt: moment.nullable(),
    heuristic: z.object({ kind: heuristicKind, reason: z.string() }).nullable(),
    alarms: z
      .array(z.string())
      .exactOptional()
      .describe('The ids of the alarms of GET /attention that count it.'),
  })
  .meta({ id: 'Branch' }) satisfies z.ZodType<BranchView>;

const timelineEntrySchema = z
  .object({
    atMs: z.number().describe('Since the start of the transaction.'),
    event: z.string(),
    branchId: z.string().exactOptional(),
    attempt: z.number().int().exactOptional(),
    detail: z.string().exactOptional(),
  })
  .meta({ id: 'TimelineEntry' }) satisfies z.ZodType<Omit<TimelineEntry, 'event'>>;

export const transactionSummarySchema = z
  .object({
    transactionId: z.string(),
    name: z.string(),
    attributes: z
      .record(z.string(), z.string())
      .exactOptional()
      .describe('The keys of the business that its caller has given it, if any.'),
    state: z.enum(STATES),
    stalled: z.boolean().describe('A branch used up its attempts and waits for the recovery job.'),
    inDoubt: z.boolean().describe('It is prepared, and its decision is not known yet.'),
    decision: z.enum(['commit', 'abort']).nullable(),
    cause: z.string().nullable().describe('Why it was aborted, for programs.'),
    reason: z.string().nullable().describe('Why it was aborted, for people.'),
    heuristic: heuristicKind.nullable(),
    startedAt: moment,
    deadlineAt: moment,
    decidedAt: moment.nullable(),
    endedAt: moment.nullable(),
    durationMs: z.number().nullable(),
    ageMs: z.number().describe('Since it began; if it has ended, its duration.'),
    branches: z.array(branchSchema),
    group: z
      .object({
        id: z.string(),
        size: z.number().int().describe('The number of its members, in the latest run.'),
        runs: z.number().int().describe('How often the work of its members has run.'),
      })
      .exactOptional()
      .describe('The group that it is, or of which it is a member.'),
  })
  .meta({ id: 'TransactionSummary' }) satisfies z.ZodType<Omit<TransactionSummary, 'cause'>>;

const ownerSchema = z
  .object({
    epoch: z.number().int(),
    member: z.string().describe('What people call the member; empty when it has no name.'),
  })
  .meta({ id: 'Owner' }) satisfies z.ZodType<OwnerView>;

const owner = ownerSchema
  .nullable()
  .describe('The member that has begun or adopted it; null where the log is not shared, or it is not known.');

const unanswered = z
  .array(ownerSchema.extend({ problem: z.string() }))
  .describe('The members that have not answered, or cannot be asked, and why.') satisfies z.ZodType<
  UnansweredMember[]
>;

export const transactionSchema = transactionSummarySchema
  .extend({
    traceId: z.string().exactOptional().describe('The trace that it belongs to, if it is traced.'),
    requestId: z
      .string()
      .exactOptional()
      .describe('The request that began it, if its caller has given an id.'),
    timeline: z.array(timelineEntrySchema),
  })
  .meta({ id: 'Transaction' }) satisfies z.ZodType<Omit<TransactionView, 'cause' | 'timeline'>>;

export const ownedTransactionSchema = transactionSchema
  .extend({ owner })
  .meta({ id: 'OwnedTransaction' }) satisfies z.ZodType<Omit<OwnedTransaction, 'cause' | 'timeline'>>;

const outcomeOnlySchema = z
  .object({
    transactionId: z.string(),
    outcome: z.enum(['committed', 'aborted', 'pending']),
    decision: z.enum(['commit', 'abort']).nullable(),
    owner,
  })
  .meta({ id: 'Outcome' }) satisfies z.ZodType<OutcomeOnly>;

export const foundTransactionSchema = z.union([ownedTransactionSchema, outcomeOnlySchema]);

const counts = z.number().int().min(0);

const latencySchema = z.object({
  count: counts,
  p50Ms: z.number().nullable(),
  p99Ms: z.number().nullable(),
});

export const participantSchema = z
  .object({
    name: z.string(),
    className: z.string(),
    onePhase: z.boolean(),
    remote: z
      .object({
        address: z.string(),
        contact: z
          .object({
            inFlight: counts.describe('Calls that wait for an answer.'),
            queued: counts.describe('Calls that wait for a place.'),
            answeredAt: moment.nullable().describe('When it has answered last; null: not since the start.'),
            failure: z
              .object({ at: moment, problem: z.string() })
              .nullable()
              .describe(
                'The latest call without an answer, or that was not sent, and why; null: none since the start.',
              ),
            host: z
              .object({
                at: moment,
                version: z.string().nullable().describe('Of the process that has answered; null: unknown.'),
                versions: z
                  .array(z.string())
                  .describe('Of all processes that have answered at this address in the last minutes.'),
                atWork: counts.nullable().describe('Calls to the participant at work there.'),
                calls: counts.nullable().describe('Calls that it has answered since its start.'),
                errors: counts.nullable().describe('How many of them with an error.'),
              })
              .exactOptional()
              .describe('What its host has said of itself; left out before it has been asked.'),
          })
          .nullable()
          .describe('What this member knows of the calls to it; null: nothing.'),
      })
      .exactOptional()
      .describe('Of a participant in another process.'),
    ambient: z.boolean(),
    lastResource: z
      .boolean()
      .describe('It cannot prepare: it is asked last, and its commit is the decision.'),
    prepareTimeoutMs: counts,
    completionTimeoutMs: counts,
    maxAttempts: counts,
    retryBaseMs: counts,
    retryCapMs: counts,
    paused: z.object({ since: moment, by: z.string(), reason: z.string() }).nullable(),
    silent: z
      .object({ since: moment })
      .nullable()
      .describe(
        'It has answered none of its last prepares in time, so that most transactions that need it are refused.',
      ),
    counts: z.object({
      commitVotes: counts,
      readOnlyVotes: counts,
      refusals: counts,
      failures: counts,
      timeouts: counts,
      lateAnswers: counts,
      lateFailures: counts,
      committed: counts,
      rolledBack: counts,
      failedAttempts: counts,
      heuristicReports: counts,
      stalled: counts,
    }),
    latency: z.object({ prepare: latencySchema, completion: latencySchema }),
    undecided: z
      .object({
        undecidable: counts,
        foreign: counts,
        oldest: z.array(
          z.object({
            transactionId: z.string().nullable(),
            branchId: z.string().nullable(),
            reason: z.enum(['earlier-run', 'later-run', 'other-log', 'other-coordinator', 'malformed']),
            ageMs: counts,
          }),
        ),
      })
      .describe('Prepared branches that this coordinator cannot decide and leaves unchanged.'),
  })
  .meta({ id: 'Participant' }) satisfies z.ZodType<ParticipantView>;

const nextCursor = z.string().nullable().describe('The cursor of the next page; null after the last.');

export const transactionListSchema = z.object({
  transactions: z.array(transactionSummarySchema.extend({ owner }).meta({ id: 'OwnedTransactionSummary' })),
  nextCursor,
  unanswered,
});
/** A participant after an order. */
export const orderedParticipantSchema = participantSchema
  .extend({ unanswered })
  .meta({ id: 'OrderedParticipant' });
export const participantListSchema = z.object({ participants: z.array(participantSchema) });

export const coordinatorSchema = z
  .object({
    name: z.string(),
    logId: z.string().describe('The id of the decision log.'),
    epoch: z.number().int(),
    version: z.string(),
    durable: z.boolean().describe('Decisions survive the process.'),
    startedAt: moment,
    condition: z.object({
      accepting: z.boolean(),
      draining: z.boolean(),
      recovering: z.boolean(),
      fenced: z
        .boolean()
        .describe('Another process has claimed the log, or another member has fenced this one.'),
      logProblem: z.string().nullable(),
      restartNeeded: z.boolean(),
      inFlight: counts,
      maxInFlight: counts,
      inDoubt: counts,
      stalled: counts,
      heuristic: counts,
      oldestInDoubtMs: counts.nullable(),
      silent: counts.describe('Participants that have answered none of their last prepares in time.'),
      oldestStalledMs: counts.nullable(),
    }),
    statistics: z.object({
      committed: counts,
      aborted: counts,
      pending: counts,
      heuristicReports: counts,
      retries: counts,
      lateAnswers: counts,
      timeouts: counts,
      refusals: counts,
      orphans: counts,
      defects: counts,
    }),
  })
  .meta({ id: 'Coordinator' }) satisfies z.ZodType<CoordinatorView>;

export const historySchema = z
  .object({
    startedAt: moment,
    stepMs: counts.describe('The time from one point to the next, in milliseconds.'),
    points: z.array(
      z.object({
        at: moment.describe(
          'The end of the step. The counts are those of the step, the others what there was then.',
        ),
        committed: counts,
        pending: counts,
        heuristic: counts,
        aborted: z.record(z.string(), counts).describe('By the cause.'),
        refused: counts.describe('Requests that were refused before anything had started.'),
        inFlight: counts,
        inDoubt: counts,
        stalled: counts,
      }),
    ),
    marks: z
      .array(z.object({ at: moment, action: z.enum(OPERATOR_ACTIONS), target: z.string(), by: z.string() }))
      .describe('Orders of operators that change the figures.'),
  })
  .meta({ id: 'History' }) satisfies z.ZodType<HistoryPage>;

const conditionSchema = coordinatorSchema.shape.condition;

export const membersSchema = z
  .object({
    shared: z.boolean().describe('Several members can share the log. Otherwise there are no members.'),
    epoch: z.number().int().describe('Of the member that answers.'),
    leaseMs: counts,
    listedMsAgo: counts.nullable().describe('How long ago the log has listed the members; null: never.'),
    adoptions: counts.describe('How many epochs the member that answers has adopted.'),
    returns: counts.describe('How many times it was fenced, and went on with a new epoch.'),
    members: z.array(
      ownerSchema
        .extend({
          address: z.string().nullable(),
          self: z.boolean(),
          state: z.enum(['alive', 'lost', 'fenced', 'adopted']),
          draining: z.boolean(),
          leaseAgeMs: counts,
          adoptedBy: z.number().int().nullable(),
          presumable: z.boolean(),
          condition: conditionSchema
            .nullable()
            .describe('What the member says of itself; null when it was not asked or has not answered.'),
          version: z.string().nullable().describe('Of this package in its process; null as condition is.'),
          problem: z.string().nullable().describe('Why it has not answered.'),
        })
        .meta({ id: 'Member' }),
    ),
  })
  .meta({ id: 'Members' }) satisfies z.ZodType<MembersNow>;

export const alarmSchema = z
  .object({
    id: z
      .string()
      .describe(
        'GET /transactions?alarm= takes it, and finds what the alarm counts, if it counts transactions.',
      ),
    name: z
      .enum(ALARM_NAMES)
      .describe('The name of the alert rule, and the heading of its paragraph in the runbook.'),
    severity: z.enum(['critical', 'warning']),
    subject: z
      .string()
      .nullable()
      .describe('The participant, the member or the outbox; null: the coordinator.'),
    cause: z.string().nullable().describe('What is known of the cause, of the oldest one.'),
    count: counts,
    unit: z.enum(['transactions', 'branches', 'messages', 'events', 'percent', 'conditions']),
    since: moment.nullable().describe('Since when, for the oldest.'),
    oldest: z.string().nullable().describe('The id of the oldest transaction.'),
    nextAttemptAt: moment
      .nullable()
      .describe(
        'When the coordinator tries again by itself; null: an attempt runs, or the recovery job decides.',
      ),
    expiresAt: moment
      .nullable()
      .describe('When the first of the votes expires, for votes that are about to.'),
  })
  .meta({ id: 'Alarm' }) satisfies z.ZodType<Alarm>;

export const attentionSchema = z
  .object({
    at: moment,
    alarms: z
      .array(
        alarmSchema
          .extend({
            members: z.array(z.string()).describe('The members that report it; none: the log is not shared.'),
          })
          .meta({ id: 'OwnedAlarm' }),
      )
      .describe('The most urgent first.'),
    total: counts.describe('The number of all alarms, those that are not in the list included.'),
  })
  .meta({ id: 'Attention' }) satisfies z.ZodType<AttentionPage>;

const targets = z.array(z.object({ transactionId: z.string(), branchId: z.string().exactOptional() }));

export const groupResultSchema = z
  .object({
    done: counts,
    refused: z
      .array(
        z.object({
          code: z.string(),
          detail: z.string().describe('Of the first one.'),
          count: counts,
          targets,
        }),
      )
      .describe('By the code that the single action would have had.'),
    notTried: targets.describe('The time was over, or no action could be recorded any more.'),
  })
  .meta({ id: 'GroupResult' }) satisfies z.ZodType<GroupResult>;

const auditEntrySchema = z
  .object({
    id: z.string(),
    at: moment,
    by: z.string(),
    action: z.enum(OPERATOR_ACTIONS),
    target: z.string(),
    reason: z.string(),
    detail: z.string().nullable(),
  })
  .meta({ id: 'AuditEntry' }) satisfies z.ZodType<AuditEntryView>;

export const auditSchema = z.object({ entries: z.array(auditEntrySchema), nextCursor });

export const linksSchema = z.object({
  links: z.array(
    z.object({
      label: z.string(),
      url: z
        .string()
        .describe(`With ${LINK_PLACEHOLDERS.map((name) => `{${name}}`).join(', ')} to be replaced.`),
    }),
  ),
  pages: z
    .array(z.object({ label: z.string(), url: z.string().describe('An address, or a path of this server.') }))
    .describe('Pages of the application.'),
}) satisfies z.ZodType<LinksView>;

export const callerSchema = z.object({
  name: z.string().nullable(),
  role: z.enum(['operator', 'reader', 'anyone']),
}) satisfies z.ZodType<Caller>;
