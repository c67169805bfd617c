import assert from 'node:assert/strict';
import { Injectable } from '@nestjs/common';
import type { ConfirmedOrder } from './order.js';
import type { KeyState, OrderRecords } from './order-records.js';

/** The orders, in memory. A drafted order is not visible until it is confirmed. */
@Injectable()
export class OrderBook implements OrderRecords {
  private readonly drafts = new Map<string, ConfirmedOrder>();
  private readonly confirmed = new Map<string, ConfirmedOrder>();
  /** The orders placed, or being placed, under the keys of requests, and their branches. */
  private readonly keys = new Map<string, { readonly by: string; readonly state: KeyState }>();

  find(orderId: string): ConfirmedOrder | undefined {
    return this.confirmed.get(orderId);
  }

  stateOfKey(key: string): KeyState {
    return this.keys.get(key)?.state ?? 'free';
  }

  /** Keeps an order under a key, not visible. */
  draft(key: string, order: ConfirmedOrder): void {
    assert(!this.drafts.has(key), 'an order is drafted once');
    this.drafts.set(key, order);
    const requestKey = order.requestKey?.key;
    if (requestKey !== undefined) this.keys.set(requestKey, { by: key, state: 'open' });
  }

  /** Makes the order under a key visible. */
  confirm(key: string): void {
    const order = this.drafts.get(key);
    assert(order !== undefined, 'only a drafted order is confirmed');
    this.drafts.delete(key);
    this.confirmed.set(order.orderId, order);
    const { requestKey } = order;
    if (requestKey !== undefined) {
      this.keys.set(requestKey.key, { by: key, state: { fingerprint: requestKey.fingerprint, order } });
    }
  }

  /** Discards the order under a key, if any. */
  discard(key: string): void {
    const requestKey = this.drafts.get(key)?.requestKey?.key;
    this.drafts.delete(key);
    // A rollback may come late, when another order has the key.
    if (requestKey !== undefined && this.keys.get(requestKey)?.by === key) this.keys.delete(requestKey);
  }
}
