import { z } from 'zod';
import { moneySchema } from '../common/money.js';
import { skuSchema } from '../participants/inventory/catalogue.js';

const MAX_ITEMS = 50;
const MAX_QUANTITY = 1_000;

const customerIdSchema = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
    'must be 1 to 64 characters of A-Z, a-z, 0-9, ".", "_" and "-"',
  );

/** The request of a client. It names no price: prices come from the catalogue. */
export const placeOrderSchema = z
  .strictObject({
    customerId: customerIdSchema,
    items: z
      .array(z.strictObject({ sku: skuSchema, quantity: z.number().int().min(1).max(MAX_QUANTITY) }))
      .min(1)
      .max(MAX_ITEMS)
      .refine(
        (items) => new Set(items.map(({ sku }) => sku)).size === items.length,
        'must not name a sku twice',
      )
      .describe('No sku twice.'),
  })
  .meta({
    id: 'PlaceOrder',
    examples: [{ customerId: 'alice', items: [{ sku: 'keyboard', quantity: 1 }] }],
  });

export type PlaceOrder = z.output<typeof placeOrderSchema>;

/** The answer to an order that was placed. */
export const placedOrderSchema = z
  .strictObject({
    orderId: z.uuid(),
    transactionId: z.string(),
    status: z.literal('confirmed'),
    total: moneySchema,
  })
  .meta({ id: 'PlacedOrder' });

/** The answer to an order whose transaction continues, or ended so that an operator must check it. */
export const unsettledOrderSchema = z
  .strictObject({
    orderId: z.uuid().describe('The location of the order, if it commits.'),
    transactionId: z.string(),
    status: z.enum(['pending', 'heuristic']),
    decision: z
      .enum(['commit', 'abort', 'unknown'])
      .describe('`abort` only with `heuristic`: a participant has committed nevertheless, or may have.'),
    detail: z.string(),
  })
  .meta({ id: 'UnsettledOrder' });

/** An order as it is shown. */
export const orderSchema = z
  .strictObject({
    orderId: z.uuid(),
    transactionId: z.string(),
    customerId: z.string(),
    status: z.literal('confirmed'),
    items: z.array(z.strictObject({ sku: z.string(), quantity: z.number().int(), unitPrice: moneySchema })),
    total: moneySchema,
  })
  .meta({ id: 'Order' });
