import type { ConfirmedOrder } from './order.js';

/**
 * The state of a key: `free`, no order has been placed under it; `open`, an order is being placed under it
 * and its outcome is not known here; or the order and the fingerprint of the request that placed it.
 */
export type KeyState = 'free' | 'open' | { readonly fingerprint: string; readonly order: ConfirmedOrder };

/** The code of a refusal: when the order was to be written, another one had its key. */
export const KEY_TAKEN = 'KEY_TAKEN';

/** Reads the orders. An order exists from its commit on, and never before. */
export abstract class OrderRecords {
  /** @returns the order, or undefined when no order of this id has committed. */
  abstract find(orderId: string): ConfirmedOrder | undefined | PromiseLike<ConfirmedOrder | undefined>;

  /**
   * Looks for an order placed under a key, by this process, an earlier one or another one. While the answer
   * is `open`, ask again later. `free` proves that no order has the key now; an order with an open outcome is
   * not `free`.
   */
  abstract stateOfKey(key: string): KeyState | PromiseLike<KeyState>;
}
