import type { StockLevel } from './stock.js';

/** How much there is of each product, as it can be read. */
export abstract class StockLevels {
  /** @returns how much there is, or undefined for a product that was never stocked. */
  abstract level(sku: string): StockLevel | undefined | PromiseLike<StockLevel | undefined>;
}
