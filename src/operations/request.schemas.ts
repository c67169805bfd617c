import { z } from 'zod';
import { HEURISTIC_KINDS, type OperatorOrder, STATES, type TransactionFilter } from '../coordinator/index.js';
import type { Caller } from './access/access.js';

// An application may validate the result again, so it must be valid as well.
const flag = z.enum(['true', 'false']);
const limit = z.coerce.number().int().min(1).max(1_000).default(100);
const cursor = z.string().regex(/^[1-9]\d{0,14}$/, 'must be the nextCursor of a page');

/** The query of `GET /transactions`. */
export const listQuery = z.strictObject({
  state: z.enum(STATES).exactOptional(),
  stalled: flag.exactOptional(),
  heuristic: flag.exactOptional(),
  inDoubt: flag.exactOptional(),
  participant: z.string().min(1).max(100).exactOptional(),
  name: z.string().min(1).max(100).exactOptional(),
  minAgeMs: z.coerce.number().min(0).exactOptional(),
  order: z.enum(['youngest', 'oldest']).default('youngest'),
  limit,
  cursor: cursor.exactOptional(),
});
export type ListQuery = z.output<typeof listQuery>;

export function filterOf({ stalled, heuristic, inDoubt, ...query }: ListQuery): TransactionFilter {
  return {
    ...query,
    ...(stalled !== undefined && { stalled: stalled === 'true' }),
    ...(heuristic !== undefined && { heuristic: heuristic === 'true' }),
    ...(inDoubt !== undefined && { inDoubt: inDoubt === 'true' }),
  };
}

/** The query of `GET /audit`. */
export const auditQuery = z.strictObject({ limit, cursor: cursor.exactOptional() });
export type AuditQuery = z.output<typeof auditQuery>;

const reason = z
  .string()
  .trim()
  .min(1)
  .max(300)
  .describe('The reason. It is kept in the audit trail, with the name of the operator.');

/** The body of every action. */
export const orderBody = z.strictObject({ reason });
export type OrderBody = z.output<typeof orderBody>;

/** The body of the resolution of a branch. */
export const resolutionBody = z.strictObject({
  reason,
  as: z
    .enum(HEURISTIC_KINDS)
    .describe('How the branch has ended at its participant; hazard: it is not known.'),
});
export type ResolutionBody = z.output<typeof resolutionBody>;

/** The operator who has ordered it, and the reason. The guard has admitted an operator, who has a name. */
export function orderOf({ reason }: OrderBody, { name }: Caller): OperatorOrder {
  return { by: name!, reason };
}
