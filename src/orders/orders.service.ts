import { createHash, randomUUID } from 'node:crypto';
import { HttpStatus, Injectable } from '@nestjs/common';
import { ProblemException } from '../operations/problem/problem.js';
import {
  KeyReusedError,
  type Outcome,
  TransactionManager,
  type TransactionView,
  branch,
} from '../coordinator/index.js';
import { Catalogue } from '../participants/inventory/catalogue.js';
import { InventoryParticipant } from '../participants/inventory/inventory.participant.js';
import { type KeyState, OrderRecords } from '../participants/order/order-records.js';
import type { ConfirmedOrder, Order, OrderItem, RequestKey } from '../participants/order/order.js';
import { OrderParticipant } from '../participants/order/order.participant.js';
import { PaymentParticipant } from '../participants/payment/payment.participant.js';
import { keyReused, keyUnknown } from './idempotency-key.js';
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
   * Whether members of one coordinator share the keys of requests, so that each answers for what another one
   * does.
   */
  get sharesKeys(): boolean {
    return this.transactions.sharesKeys;
  }

  /**
   * @param requestKey the key of the request, if it has one: it is committed with the order, and the
   * transaction has it too.
   * @param requestId the id of the request, for log lines, if it has one.
   * @returns the requested order, and its outcome; if another request with the key has come first, the order
   * of that one.
   * @throws ProblemException when a product is not sold here, or the key belongs to another request; the
   * errors of TransactionManager.run. Nothing was started then.
   */
  async place(
    { customerId, items }: PlaceOrder,
    requestKey?: RequestKey,
    requestId?: string,
  ): Promise<{ order: Order; outcome: Outcome }> {
    const priced = items.map((item, index) => ({ ...item, unitPrice: this.priceOf(item.sku, index) }));
    const order: Order = {
      orderId: requestKey === undefined ? randomUUID() : orderIdOf(requestKey),
      customerId,
      items: priced,
      total: totalOf(priced),
      ...(requestKey !== undefined && { requestKey }),
    };
    const branches = [
      branch(OrderParticipant, order),
      branch(InventoryParticipant, { lines: items }),
      branch(PaymentParticipant, { customerId, amount: order.total }),
    ];
    const name = 'create-order';
    const attributes = { orderId: order.orderId };
    const request = { name, branches, attributes, ...(requestId !== undefined && { requestId }) };
    if (requestKey === undefined) return { order, outcome: await this.transactions.run(request) };
    const { key, fingerprint } = requestKey;
    const once = { key: `${name} ${digestOf(key).toString('base64url')}`, fingerprint };
    const outcome = await this.transactions.run({ ...request, ...once }).catch((error: unknown) => {
      throw error instanceof KeyReusedError ? keyReused() : error;
    });
    return { order: await this.placedBy(outcome, order, key), outcome };
  }

  /** The prices may have changed since another request with the key has placed the order. */
  private async placedBy({ status, repeated }: Outcome, order: Order, key: string): Promise<Order> {
    if (status !== 'committed' || repeated !== true) return order;
    const state = await this.stateOfKey(key);
    return typeof state === 'string' ? order : state.order;
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

/** Every member gives the order of a key the same id, so that one which has not placed it can name it too. */
function orderIdOf({ key }: RequestKey): string {
  const bytes = digestOf(`order ${key}`).subarray(0, 16);
  // By RFC 9562, a UUID of a form of one's own.
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function totalOf(items: readonly OrderItem[]): number {
  return items.reduce((total, { quantity, unitPrice }) => total + quantity * unitPrice, 0);
}
