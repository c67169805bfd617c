/** The messages between the services of the shop. All of them share this file, so the compiler checks both sides. */

/** A product of an order. No product is named twice. */
export interface OrderLine {
  readonly sku: string;
  readonly quantity: number;
}

/** An order, as its customer has asked for it. Amounts of money are in cents. */
export interface Order {
  readonly orderId: string;
  readonly customer: string;
  readonly lines: readonly OrderLine[];
  readonly total: number;
}

/** The payload of a branch, by the name of its participant: what a service does in a transaction. */
export interface Branches {
  readonly order:
    ({ readonly change: 'place' } & Order) | { readonly change: 'cancel'; readonly orderId: string };
  readonly inventory: {
    readonly change: 'take' | 'put-back';
    readonly lines: readonly OrderLine[];
  };
  readonly payment: {
    readonly change: 'charge' | 'refund';
    readonly orderId: string;
    readonly customer: string;
    readonly amount: number;
  };
}
