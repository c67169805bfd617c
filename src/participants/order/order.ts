/** One product of an order, at the price it had when the order was placed. */
export interface OrderItem {
  readonly sku: string;
  readonly quantity: number;
  /** In cents. */
  readonly unitPrice: number;
}

export interface Order {
  readonly orderId: string;
  readonly customerId: string;
  readonly items: readonly OrderItem[];
  /** In cents. */
  readonly total: number;
  /** The key of the request that placed it, if it had one. */
  readonly requestKey?: RequestKey;
}

/** A key that a client has chosen for its request, and the fingerprint of the request. */
export interface RequestKey {
  readonly key: string;
  readonly fingerprint: string;
}

/** An order that exists: its transaction has committed. */
export interface ConfirmedOrder extends Order {
  readonly transactionId: string;
}
