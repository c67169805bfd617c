import { z } from 'zod';
import { HEURISTIC_KINDS } from '../../coordinator/index.js';
import { problemSchema } from '../problem/problem.js';
import { listFilter } from '../request.schemas.js';
import {
  alarmSchema,
  coordinatorSchema,
  participantSchema,
  transactionSchema,
  transactionSummarySchema,
} from '../view.schemas.js';

// The messages between members. Fields may be added: a member that does not know them ignores them, except those of a filter.

/** The path of the route at which a member takes calls, relative to its address. */
export const MEMBER_CALLS_PATH = 'members/calls';

const text = z.string().min(1).max(300);
const order = { by: z.string().min(1).max(300), reason: text };
/** The id of an alarm: what it does not count is refused. A member of an earlier version does not look. */
const orderOfAlarm = { ...order, alarm: text.exactOptional() };
const id = z.string().min(1).max(300);

/** A request of one member to another. */
export const memberRequestSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('find'), transactionId: id }),
  z.object({ kind: z.literal('list'), filter: listFilter }),
  z.object({ kind: z.literal('overview') }),
  z.object({ kind: z.literal('abort'), transactionId: id, ...orderOfAlarm }),
  z.object({ kind: z.literal('forget'), transactionId: id, ...orderOfAlarm }),
  // A kind of its own: a member that took it for `forget` would drop the reports of other branches as well.
  z.object({ kind: z.literal('forget-report'), transactionId: id, branchId: id, ...orderOfAlarm }),
  z.object({ kind: z.literal('retry'), transactionId: id, branchId: id, ...orderOfAlarm }),
  z.object({
    kind: z.literal('resolve'),
    transactionId: id,
    branchId: id,
    as: z.enum(HEURISTIC_KINDS),
    ...orderOfAlarm,
  }),
  z.object({ kind: z.literal('pause'), participant: id, ...order }),
  z.object({ kind: z.literal('resume'), participant: id, ...order }),
  z.object({ kind: z.literal('drain'), ...order }),
  z.object({ kind: z.literal('undrain'), ...order }),
]);
export type MemberRequest = z.output<typeof memberRequestSchema>;

/** One call: the member that it is for, and what is wanted. */
export const memberCallSchema = z.object({
  coordinator: z.string().max(100),
  logId: z.string().max(100),
  /** The epoch of the member that is asked. */
  to: z.number().int().min(1),
  request: memberRequestSchema,
});
export type MemberCall = z.output<typeof memberCallSchema>;

const outcomeStatuses = ['committed', 'aborted', 'pending', 'elsewhere', 'unknown'] as const;

/** The answers of a member, by the kind of the request. */
export const memberAnswers = {
  find: z.object({
    transaction: transactionSchema.nullable(),
    outcome: z.object({ transactionId: z.string(), status: z.enum(outcomeStatuses) }),
  }),
  list: z.object({
    entries: z.array(
      z.object({ transaction: transactionSummarySchema, cursor: z.string().regex(/^[1-9]\d{0,14}$/) }),
    ),
    hasMore: z.boolean(),
  }),
  overview: z.object({
    coordinator: coordinatorSchema,
    alarms: z.array(alarmSchema),
    alarmsTotal: z.number().int().min(0),
  }),
  abort: transactionSchema,
  forget: transactionSchema,
  'forget-report': transactionSchema,
  retry: transactionSchema,
  resolve: transactionSchema,
  pause: participantSchema,
  resume: participantSchema,
  drain: coordinatorSchema,
  undrain: coordinatorSchema,
} as const satisfies Record<MemberRequest['kind'], z.ZodType>;

export type MemberAnswer<K extends MemberRequest['kind']> = z.output<(typeof memberAnswers)[K]>;

/** A request of one kind. */
export type RequestOf<K extends MemberRequest['kind']> = Extract<MemberRequest, { readonly kind: K }>;

/** An order that concerns a transaction. */
export type TransactionAction = RequestOf<'abort' | 'forget' | 'forget-report' | 'retry' | 'resolve'>;
/** An order to drop the reports of a transaction, or that of one branch. */
export type ForgetAction = RequestOf<'forget' | 'forget-report'>;
/** An order that concerns a participant at a member. */
export type ParticipantAction = RequestOf<'pause' | 'resume'>;
/** An order that concerns which new transactions a member takes. */
export type AdmissionAction = RequestOf<'drain' | 'undrain'>;

/** In each answer and each refusal: the member that gives it. */
const givenBy = { coordinator: z.string(), logId: z.string(), epoch: z.number().int() };

export const memberReplySchema = z.object({ ...givenBy, answer: z.unknown() });

/** The problem document of a refusal that the member means. */
export const memberRefusalSchema = problemSchema.extend(givenBy);
