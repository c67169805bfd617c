import assert from 'node:assert/strict';
import { Injectable } from '@nestjs/common';

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
}

/** An order that exists: its transaction has committed. */
export interface ConfirmedOrder extends Order {
  readonly transactionId: string;
}

/** The orders. One that is drafted is nobody's to see until it is confirmed. */
@Injectable()
export class OrderBook {
  private readonly drafts = new Map<string, ConfirmedOrder>();
  private readonly confirmed = new Map<string, ConfirmedOrder>();

  /** @returns the order, or undefined when none of this id has committed. */
  find(orderId: string): ConfirmedOrder | undefined {
    return this.confirmed.get(orderId);
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
