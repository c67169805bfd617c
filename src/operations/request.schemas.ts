import { z } from 'zod';
import { HEURISTIC_KINDS, type OperatorOrder, STATES, type TransactionFilter } from '../coordinator/index.js';
import type { Caller } from './access/access.js';

// An application may validate the result again, so it must be valid as well.
const flag = z.enum(['true', 'false']);
const limit = z.coerce.number().int().min(1).max(1_000).default(100);
const place = z.string().regex(/^[1-9]\d{0,14}$/, 'must be the nextCursor of a page');
/** Where members share the log: the epoch of each member that has more, and the place there, if it has been listed. */
const cursor = z
  .string()
  .regex(
    /^(?:[1-9]\d{0,14}|[1-9]\d{0,6}-\d{0,15}(?:_[1-9]\d{0,6}-\d{0,15}){0,63})$/,
    'must be the nextCursor of a page',
  );

const searchedText = z.string().min(1).max(300);
const moment = z.iso.datetime({
  offset: true,
  error: 'must be a moment with a zone, such as 2026-01-31T03:00:00Z',
});

/** The filter for transactions, in the query of a route. */
const selection = {
  state: z.enum(STATES).exactOptional(),
  stalled: flag.exactOptional(),
  heuristic: flag.exactOptional(),
  inDoubt: flag.exactOptional(),
  participant: z.string().min(1).max(100).exactOptional(),
  name: z.string().min(1).max(100).exactOptional(),
  attribute: z
    .string()
    .max(241)
    .regex(/^[A-Za-z][A-Za-z0-9._-]{0,39}=[^\p{Cc}\p{Zl}\p{Zp}]{1,200}$/u, 'must be a name, "=" and a value')
    .describe('A key of the business and its value, such as `orderId=4711`.')
    .exactOptional(),
  search: searchedText
    .describe(
      'How the id begins, or the value of a key of the business, or the id of the trace or of the request.',
    )
    .exactOptional(),
  cause: searchedText
    .describe('A part of the reason of an abort, of the last error of a branch, or of a heuristic report.')
    .exactOptional(),
  alarm: searchedText.describe('The id of an alarm of GET /attention that counts it.').exactOptional(),
  groups: flag
    .describe('Whether it is a group, by which other transactions are prepared as one.')
    .exactOptional(),
  group: searchedText.describe('The id of the group that it is, or of which it is a member.').exactOptional(),
  startedAfter: moment.describe('It began at this moment or later.').exactOptional(),
  startedBefore: moment.describe('It began before this moment.').exactOptional(),
  minAgeMs: z.coerce.number().min(0).exactOptional(),
  maxAgeMs: z.coerce.number().min(0).exactOptional(),
  order: z.enum(['youngest', 'oldest']).default('youngest'),
};

/** The query of `GET /transactions`. */
export const listQuery = z.strictObject({ ...selection, limit, cursor: cursor.exactOptional() });
export type ListQuery = z.output<typeof listQuery>;

/** The query of `GET /transactions/export`. */
export const exportQuery = z.strictObject({ ...selection, format: z.enum(['csv', 'json']).default('json') });
export type ExportQuery = z.output<typeof exportQuery>;

/** The filter that one member sends to another. A member that does not know a field of it would list what does not match, so it refuses. */
export const listFilter = z.strictObject({
  state: z.enum(STATES).exactOptional(),
  stalled: z.boolean().exactOptional(),
  heuristic: z.boolean().exactOptional(),
  inDoubt: z.boolean().exactOptional(),
  participant: z.string().min(1).max(100).exactOptional(),
  name: z.string().min(1).max(100).exactOptional(),
  attributes: z.record(z.string().max(40), z.string().max(200)).exactOptional(),
  search: searchedText.exactOptional(),
  cause: searchedText.exactOptional(),
  alarm: searchedText.exactOptional(),
  groups: z.boolean().exactOptional(),
  group: searchedText.exactOptional(),
  startedAfter: moment.exactOptional(),
  startedBefore: moment.exactOptional(),
  minAgeMs: z.number().min(0).exactOptional(),
  maxAgeMs: z.number().min(0).exactOptional(),
  order: z.enum(['youngest', 'oldest']),
  limit: z.number().int().min(1).max(1_000),
  cursor: place.exactOptional(),
});

/** A filter with its order and its limit. */
export type ListFilter = TransactionFilter & Required<Pick<TransactionFilter, 'order' | 'limit'>>;

export function filterOf({ limit, cursor, ...query }: ListQuery): ListFilter {
  return { ...selectedBy(query), limit, ...(cursor !== undefined && { cursor }) };
}

/** @returns the filter and the order of a query. */
export function selectedBy({
  stalled,
  heuristic,
  inDoubt,
  groups,
  attribute,
  ...query
}: Omit<ListQuery, 'limit' | 'cursor'>): Omit<ListFilter, 'limit' | 'cursor'> {
  const at = attribute?.indexOf('=') ?? 0;
  return {
    ...query,
    ...(attribute !== undefined && { attributes: { [attribute.slice(0, at)]: attribute.slice(at + 1) } }),
    ...(stalled !== undefined && { stalled: stalled === 'true' }),
    ...(heuristic !== undefined && { heuristic: heuristic === 'true' }),
    ...(inDoubt !== undefined && { inDoubt: inDoubt === 'true' }),
    ...(groups !== undefined && { groups: groups === 'true' }),
  };
}

/** The query of `GET /audit`. */
export const auditQuery = z.strictObject({
  limit,
  transactionId: z
    .string()
    .min(1)
    .max(300)
    .describe('Only the orders that concern this transaction, or a branch of it.')
    .exactOptional(),
  cursor: z
    .string()
    .regex(/^(?:[1-9]\d{0,6}\.)?[1-9]\d{0,14}$/, 'must be the nextCursor of a page')
    .exactOptional(),
});
export type AuditQuery = z.output<typeof auditQuery>;

const reason = z
  .string()
  .trim()
  .min(1)
  .max(300)
  .describe('The reason. It is kept in the audit trail, with the name of the operator.');

/** The body of every action. */
export const orderBody = z.strictObject({ reason });

/** The body of an action on members. */
export const memberOrderBody = z.strictObject({
  reason,
  member: z
    .number()
    .int()
    .min(1)
    .max(1_679_615)
    .exactOptional()
    .describe('The epoch of the only member that acts.'),
});
export type MemberOrderBody = z.output<typeof memberOrderBody>;
export type OrderBody = z.output<typeof orderBody>;

/** The body of the resolution of a branch. */
export const resolutionBody = z.strictObject({
  reason,
  as: z
    .enum(HEURISTIC_KINDS)
    .describe('How the branch has ended at its participant; hazard: it is not known.'),
});
export type ResolutionBody = z.output<typeof resolutionBody>;

/** The most targets of one request. */
const MAX_TARGETS = 200;
const targetId = z.string().min(1).max(300);

/** The body of an action on many transactions or branches. */
export const groupBody = z
  .strictObject({
    reason,
    action: z.enum(['abort', 'retry', 'resolve', 'forget']),
    targets: z
      .array(z.strictObject({ transactionId: targetId, branchId: targetId.exactOptional() }))
      .min(1)
      .max(MAX_TARGETS)
      .describe(
        'retry and resolve: branches. abort: transactions. forget: both, a branch for its report alone. Each at most once.',
      ),
    alarm: searchedText
      .describe(
        'The id of an alarm of GET /attention. A target that it does not count, or no longer, is refused.',
      )
      .exactOptional(),
    as: z
      .enum(HEURISTIC_KINDS)
      .exactOptional()
      .describe('Only for resolve: how all of the branches have ended at their participant.'),
  })
  .superRefine(({ action, targets, as }, context) => {
    const problem = (path: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [path], message });
    if ((action === 'resolve') !== (as !== undefined))
      problem('as', 'must be given for resolve, and for no other action');
    const needsBranch = action === 'retry' || action === 'resolve';
    if (targets.some(({ branchId }) => (branchId === undefined ? needsBranch : action === 'abort')))
      problem('targets', 'must have a branchId for retry and resolve, and none for abort');
    const keys = new Set(
      targets.map(({ transactionId, branchId }) => JSON.stringify([transactionId, branchId])),
    );
    if (keys.size < targets.length) problem('targets', 'must differ from each other');
  });
export type GroupBody = z.output<typeof groupBody>;

/** The operator who has given the order, and the reason. The guard has admitted an operator, who has a name. */
export function orderOf({ reason }: OrderBody, { name }: Caller): OperatorOrder {
  return { by: name!, reason };
}
