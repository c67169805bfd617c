/** The stock of one product. `reserved` of `onHand` is promised to open transactions. */
export interface StockLevel {
  readonly onHand: number;
  readonly reserved: number;
}

/** Reads the stock of each product. */
export abstract class StockLevels {
  /** @returns the stock, or undefined for a product that was never stocked. */
  abstract level(sku: string): StockLevel | undefined | PromiseLike<StockLevel | undefined>;
}
