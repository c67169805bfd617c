import { BadRequestException, Controller, Get, Param, Post } from '@nestjs/common';
import { JoinsTransactions, TransactionManager } from 'nestjs-dtc/client';
import { ProblemException } from 'nestjs-dtc/problem';
import { branchOf } from '../common/branch-of.js';
import { Database } from '../common/database.js';
import type { Order } from '../contract.js';
import { ALREADY_CANCELLED } from './order.participant.js';

/** An order that was placed. */
interface PlacedOrder extends Order {
  readonly status: 'placed' | 'cancelled';
}

const FIND = `
  SELECT order_id AS "orderId", customer, lines, total,
    CASE WHEN cancelled_by IS NULL THEN 'placed' ELSE 'cancelled' END AS status
  FROM orders WHERE order_id = $1`;

/** Shows orders, and adds their cancellation to the transaction of another service. */
@Controller('orders')
export class OrdersController {
  constructor(
    private readonly database: Database,
    private readonly transactions: TransactionManager,
  ) {}

  @Get(':id')
  async find(@Param('id') orderId: string): Promise<PlacedOrder> {
    const [order] = await this.database.query<PlacedOrder>(FIND, [orderId]);
    if (order === undefined)
      throw new ProblemException({
        status: 404,
        code: 'NO_SUCH_ORDER',
        detail: 'There is no order with this id.',
      });
    return order;
  }

  /**
   * Joins the transaction that the request carries, and adds the branch of this service. The order is cancelled when that
   * transaction commits.
   *
   * @returns what there is to put back and to refund: only this service knows it.
   */
  @Post(':id/cancellation')
  @JoinsTransactions()
  async cancel(@Param('id') orderId: string): Promise<Order> {
    if (this.transactions.current() === undefined)
      throw new BadRequestException('Only a transaction can cancel.');
    const { status, ...order } = await this.find(orderId);
    if (status === 'cancelled')
      throw new ProblemException({
        status: 409,
        code: ALREADY_CANCELLED,
        detail: 'The order was cancelled before.',
      });
    await this.transactions.enlist(branchOf('order', { change: 'cancel', orderId }));
    return order;
  }
}
