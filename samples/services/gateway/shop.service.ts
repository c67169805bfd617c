import {
  Inject,
  Injectable,
  ServiceUnavailableException,
  UnprocessableEntityException,
} from '@nestjs/common';
import {
  DistributedTransaction,
  NotCommittedError,
  TransactionCarrier,
  TransactionManager,
} from 'nestjs-dtc/client';
import { type Problem, ProblemException } from 'nestjs-dtc/problem';
import { branchOf } from '../common/branch-of.js';
import type { Order, OrderLine } from '../contract.js';
import { PRICES } from './catalogue.js';
import { orderIdOf } from './order-id.js';

/** The address of the order service. */
export const ORDER_SERVICE = Symbol('ORDER_SERVICE');

/** The state of an order. */
export interface Receipt {
  readonly orderId: string;
  readonly transactionId: string;
  /** The amount that was paid, or given back, in cents. */
  readonly amount: number;
}

/** Places and cancels orders: all services change together, or none does. */
@Injectable()
export class Shop {
  constructor(
    private readonly transactions: TransactionManager,
    private readonly carrier: TransactionCarrier,
    @Inject(ORDER_SERVICE) private readonly orderService: string,
  ) {}

  /**
   * Runs one transaction over three services. The coordinator knows the key, so a repeat of the request runs nothing again.
   *
   * @param key of the request.
   * @param requestId of the request, if it has one: the log lines of all services about it have it.
   * @throws NotCommittedError with the outcome, and the errors of TransactionManager.run.
   */
  async place(
    key: string,
    customer: string,
    lines: readonly OrderLine[],
    requestId?: string,
  ): Promise<Receipt> {
    const orderId = orderIdOf(key);
    const total = totalOf(lines);
    const outcome = await this.transactions.run({
      name: 'place-order',
      key,
      attributes: { orderId },
      ...(requestId !== undefined && { requestId }),
      branches: [
        branchOf('order', { change: 'place', orderId, customer, lines, total }),
        branchOf('inventory', { change: 'take', lines }),
        branchOf('payment', { change: 'charge', orderId, customer, amount: total }),
      ],
    });
    if (outcome.status !== 'committed') throw new NotCommittedError(outcome);
    return { orderId, transactionId: outcome.transactionId, amount: total };
  }

  /**
   * Begins a transaction, which travels to the order service with the request. That service adds its branch and says what was
   * ordered. The method commits when it returns, and rolls back when it throws.
   */
  @DistributedTransaction({ name: 'cancel-order' })
  async cancel(orderId: string): Promise<Receipt> {
    const { customer, lines, total } = await this.cancelAtOrderService(orderId);
    await this.transactions.enlist(branchOf('inventory', { change: 'put-back', lines }));
    await this.transactions.enlist(
      branchOf('payment', { change: 'refund', orderId, customer, amount: total }),
    );
    return { orderId, transactionId: this.transactions.current()!.id, amount: total };
  }

  private async cancelAtOrderService(orderId: string): Promise<Order> {
    const url = `${this.orderService}/orders/${encodeURIComponent(orderId)}/cancellation`;
    const response = await this.carrier.fetch(url, { method: 'POST' }).catch((cause: unknown) => {
      throw new ServiceUnavailableException('The order service does not answer.', { cause });
    });
    if (response.ok) return (await response.json()) as Order;
    const { code, detail } = (await response.json()) as Problem;
    // The order service refuses with codes of its own. Other errors say that this transaction has failed: a repeat may succeed.
    if (code.startsWith('DTC_')) throw new ServiceUnavailableException(`The order service: ${detail}`);
    throw new ProblemException({ status: response.status, code, detail });
  }
}

/** @throws UnprocessableEntityException for a product that is not sold. */
function totalOf(lines: readonly OrderLine[]): number {
  return lines.reduce((total, { sku, quantity }) => {
    const price = PRICES[sku];
    if (price === undefined) throw new UnprocessableEntityException(`${sku} is not sold here.`);
    return total + price * quantity;
  }, 0);
}
