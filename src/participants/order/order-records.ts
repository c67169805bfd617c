import type { ConfirmedOrder } from './order.js';

/**
 * What has become of a key: `free`, no order has been placed under it; `open`, one is being placed under it and its
 * outcome is not known here; or the order and the fingerprint of the request that placed it.
 */
export type KeyState = 'free' | 'open' | { readonly fingerprint: string; readonly order: ConfirmedOrder };

/** The code of a refusal: by the time the order was to be written, another one had its key. */
export const KEY_TAKEN = 'KEY_TAKEN';

/** The orders as they can be read. One is there from its commit on, and never before. */
export abstract class OrderRecords {
  /** @returns the order, or undefined when none of this id has committed. */
  abstract find(orderId: string): ConfirmedOrder | undefined | PromiseLike<ConfirmedOrder | undefined>;

  /**
   * Looks for what was placed under a key, by this process, an earlier one or another one. While the answer is `open`, ask
   * again later. `free` is a proof that no order has the key now; one whose outcome is open is not `free`.
   */
  abstract stateOfKey(key: string): KeyState | PromiseLike<KeyState>;
}
