import { z } from 'zod';

/** The one currency of all prices and accounts. */
export const CURRENCY = 'EUR';

/** An amount in cents: whole numbers add up exactly. */
export const centsSchema = z.number().int().min(0);

/** Money as it is shown. */
export const moneySchema = z
  .strictObject({
    amount: centsSchema.describe('In the minor unit of the currency: 5990 is 59.90 EUR.'),
    currency: z.literal(CURRENCY),
  })
  .meta({ id: 'Money', examples: [{ amount: 5_990, currency: CURRENCY }] });

export type Money = z.output<typeof moneySchema>;

/** @param amount in cents. */
export function money(amount: number): Money {
  return { amount, currency: CURRENCY };
}
