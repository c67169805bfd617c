import assert from 'node:assert/strict';
import { Injectable } from '@nestjs/common';
import type { ConfirmedOrder } from './order.js';
import type { KeyState, OrderRecords } from './order-records.js';

/** The orders, in memory. One that is drafted is nobody's to see until it is confirmed. */
@Injectable()
export class OrderBook implements OrderRecords {
  private readonly drafts = new Map<string, ConfirmedOrder>();
  private readonly confirmed = new Map<string, ConfirmedOrder>();

  find(orderId: string): ConfirmedOrder | undefined {
    return this.confirmed.get(orderId);
  }

  /** Orders end with the process, so there is none of an earlier one. */
  stateOfKey(): KeyState {
    return 'free';
  }

  /** Keeps an order under a key, out of sight. */
  draft(key: string, order: ConfirmedOrder): void {
    assert(!this.drafts.has(key), 'an order is drafted once');
    this.drafts.set(key, order);
  }

  /** The order under a key is there for all to see. */
  confirm(key: string): void {
    const order = this.drafts.get(key);
    assert(order !== undefined, 'only a drafted order is confirmed');
    this.drafts.delete(key);
    this.confirmed.set(order.orderId, order);
  }

  /** The order under a key, if any, was never placed. */
  discard(key: string): void {
    this.drafts.delete(key);
  }
}
