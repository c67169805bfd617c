/** How much there is of one product. `reserved` of `onHand` is promised to transactions that are open still. */
export interface StockLevel {
  readonly onHand: number;
  readonly reserved: number;
}

/** How much there is of each product, as it can be read. */
export abstract class StockLevels {
  /** @returns how much there is, or undefined for a product that was never stocked. */
  abstract level(sku: string): StockLevel | undefined | PromiseLike<StockLevel | undefined>;
}
