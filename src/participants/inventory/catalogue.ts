import { Injectable } from '@nestjs/common';
import { centsSchema } from '../../common/money.js';
import { z } from 'zod';

/** The id of a stock-keeping unit, as orders name it. */
export const skuSchema = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
    'must be 1 to 64 characters of A-Z, a-z, 0-9, ".", "_" and "-"',
  );

/** A product. */
export const productSchema = z.strictObject({ sku: skuSchema, name: z.string(), price: centsSchema });

export type Product = Readonly<z.output<typeof productSchema>>;

/** The products at the start. Prices are in cents. */
export const SEED_CATALOGUE: readonly Product[] = [
  { sku: 'keyboard', name: 'Mechanical keyboard', price: 5_990 },
  { sku: 'monitor', name: '27-inch monitor', price: 24_900 },
  { sku: 'usb-cable', name: 'USB-C cable, 2 m', price: 990 },
  { sku: 'last-lamp', name: 'Desk lamp, discontinued', price: 3_450 },
];

/** The products and their prices. No order changes them, so they can be read outside any transaction. */
@Injectable()
export class Catalogue {
  private readonly products = new Map(SEED_CATALOGUE.map((product) => [product.sku, product]));

  /** @returns the product, or undefined when it is not sold. */
  find(sku: string): Product | undefined {
    return this.products.get(sku);
  }
}
