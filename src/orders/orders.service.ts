import { randomUUID } from 'node:crypto';
import { HttpStatus, Injectable } from '@nestjs/common';
import { ProblemException } from '../operations/problem/problem.js';
import { type Outcome, TransactionManager, type TransactionView, branch } from '../coordinator/index.js';
import { Catalogue } from '../participants/inventory/catalogue.js';
import { InventoryParticipant } from '../participants/inventory/inventory.participant.js';
import { type KeyState, OrderRecords } from '../participants/order/order-records.js';
import type { ConfirmedOrder, Order, OrderItem, RequestKey } from '../participants/order/order.js';
import { OrderParticipant } from '../participants/order/order.participant.js';
import { PaymentParticipant } from '../participants/payment/payment.participant.js';
import { keyUnknown } from './idempotency-key.js';
import type { PlaceOrder } from './order.schemas.js';

/** Places orders: the record, the stock and the payment change together, or nothing does. */
@Injectable()
export class OrdersService {
  constructor(
    private readonly catalogue: Catalogue,
    private readonly orders: OrderRecords,
    private readonly transactions: TransactionManager,
  ) {}

  /**
   * @param requestKey the key of the request, if it has one: it is committed with the order.
   * @returns the requested order, and its outcome.
   * @throws ProblemException when a product is not sold here; the errors of TransactionManager.run. Nothing
   * was started then.
   */
  async place(
    { customerId, items }: PlaceOrder,
    requestKey?: RequestKey,
  ): Promise<{ order: Order; outcome: Outcome }> {
    const priced = items.map((item, index) => ({ ...item, unitPrice: this.priceOf(item.sku, index) }));
    const order: Order = {
      orderId: randomUUID(),
      customerId,
      items: priced,
      total: totalOf(priced),
      ...(requestKey !== undefined && { requestKey }),
    };
    const outcome = await this.transactions.run({
      name: 'create-order',
      branches: [
        branch(OrderParticipant, order),
        branch(InventoryParticipant, { lines: items }),
        branch(PaymentParticipant, { customerId, amount: order.total }),
      ],
    });
    return { order, outcome };
  }

  /** @returns the order, or undefined when none of this id has committed. */
  async find(orderId: string): Promise<ConfirmedOrder | undefined> {
    return this.orders.find(orderId);
  }

  /**
   * @returns the order placed under a key, by this run, an earlier one, or another process.
   * @throws ProblemException 503 when that cannot be determined now.
   */
  async stateOfKey(key: string): Promise<KeyState> {
    try {
      return await this.orders.stateOfKey(key);
    } catch (error) {
      const isDown = error instanceof ProblemException && error.getStatus() === 503;
      throw isDown ? keyUnknown(error) : error;
    }
  }

  /** @returns the transaction of an order, as long as this process knows it. */
  transactionOf(transactionId: string): TransactionView | undefined {
    return this.transactions.find(transactionId);
  }

  private priceOf(sku: string, index: number): number {
    const product = this.catalogue.find(sku);
    if (product === undefined) {
      throw new ProblemException({
        status: HttpStatus.UNPROCESSABLE_ENTITY,
        code: 'DTC_UNPROCESSABLE',
        reasonCode: 'UNKNOWN_SKU',
        detail: `Item ${index + 1} of the order is not sold here.`,
      });
    }
    return product.price;
  }
}

function totalOf(items: readonly OrderItem[]): number {
  return items.reduce((total, { quantity, unitPrice }) => total + quantity * unitPrice, 0);
}
