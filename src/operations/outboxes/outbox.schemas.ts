import { z } from 'zod';
import { orderBody } from '../request.schemas.js';
import type {
  DeadMessageDetail,
  DeadMessagePage,
  DeadMessageView,
  MessageResult,
  OutboxView,
} from './outbox-views.js';

const count = z.number().int().min(0);
/** The id of a message: printable characters of ASCII, which every database takes. */
export const messageId = z.string().regex(/^[\x21-\x7e]{1,100}$/, 'must be the id of a message');

/** The most messages of one order. */
const MAX_MESSAGES = 100;

/** The query of `GET /outboxes/{outbox}/dead`. */
export const deadQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(500).default(100),
  cursor: z
    .string()
    .regex(/^[1-9]\d{0,14}$/, 'must be the nextCursor of a page')
    .exactOptional(),
});
export type DeadQuery = z.output<typeof deadQuery>;

/** The body of an order about dead messages. */
export const messagesBody = orderBody
  .extend({
    ids: z.array(messageId).min(1).max(MAX_MESSAGES).describe('The messages, each at most once.'),
  })
  .refine(({ ids }) => new Set(ids).size === ids.length, {
    path: ['ids'],
    message: 'must differ from each other',
  });
export type MessagesBody = z.output<typeof messagesBody>;

const outboxSchema = z
  .object({
    name: z.string(),
    held: z
      .object({
        waiting: count.describe('Messages that are not sent yet. Counted up to 10,000.'),
        oldestMs: z.number().min(0).describe('The age of the oldest of them.'),
        dead: count.describe('Messages that have used up their attempts. Counted up to 10,000.'),
      })
      .nullable()
      .describe('What its tables hold, as counted last; null while the database does not answer.'),
    sent: count.describe('Since the start of this process, as the next one.'),
    retried: count.describe('Failed attempts after which the message is tried again.'),
    sending: count,
    hanging: count.describe('Attempts that have used up their time, and go on.'),
    problem: z.string().nullable().describe('Why the database does not answer.'),
  })
  .meta({ id: 'Outbox' }) satisfies z.ZodType<OutboxView>;

export const outboxesSchema = z.object({ outboxes: z.array(outboxSchema) });

const deadMessageSchema = z
  .object({
    id: z.string(),
    topic: z.string(),
    key: z.string().nullable().describe('Messages of one key are sent in their order.'),
    position: count,
    transactionId: z.string().describe('The transaction that has written it.'),
    writtenAt: z.iso.datetime(),
    attempts: count,
    error: z.string().describe('Why the last attempt has failed.'),
  })
  .meta({ id: 'DeadMessage' }) satisfies z.ZodType<DeadMessageView>;

export const deadPageSchema = z.object({
  messages: z.array(deadMessageSchema),
  nextCursor: z.string().nullable().describe('The cursor of the next page; null after the last.'),
}) satisfies z.ZodType<DeadMessagePage>;

export const deadDetailSchema = deadMessageSchema
  .extend({ payload: z.string().describe('What it says: JSON, as its text.') })
  .meta({ id: 'DeadMessageDetail' }) satisfies z.ZodType<DeadMessageDetail>;

export const messageResultSchema = z
  .object({
    done: count,
    left: count.describe(
      'Those that were not dead any more, or have a key that a branch holds at this moment.',
    ),
  })
  .meta({ id: 'MessageResult' }) satisfies z.ZodType<MessageResult>;
