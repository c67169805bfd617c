/** An amount by its name: pieces by sku, or cents by customer. */
export type Levels = Readonly<Record<string, number>>;

/** The stock of one product. `reserved` of `onHand` is promised to open transactions. */
export interface StockLevel {
  readonly onHand: number;
  readonly reserved: number;
}

/** Reads the stock of each product, and fills it up. */
export abstract class StockLevels {
  /** @returns the stock, or undefined for a product that was never stocked. */
  abstract level(sku: string): StockLevel | undefined | PromiseLike<StockLevel | undefined>;

  /**
   * Delivers pieces, outside of any transaction.
   *
   * @param levels how many pieces there are to be of each product, by sku. A product that has more keeps
   * them.
   * @returns how many pieces were added, by sku, of those that had less and were not being sold at this
   * moment.
   */
  abstract fillUp(levels: Levels): Levels | PromiseLike<Levels>;
}
