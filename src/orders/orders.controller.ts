import { Body, Controller, Get, Headers, NotFoundException, Param, Post, Res } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import {
  ApiAcceptedResponse,
  ApiCreatedResponse,
  ApiHeader,
  ApiOkResponse,
  ApiOperation,
  ApiTags,
} from '@nestjs/swagger';
import type { z } from 'zod';
import { ApiProblem } from '../operations/problem/api-problem.decorator.js';
import { money } from '../common/money.js';
import { requestIdFrom } from '../coordinator/index.js';
import { IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_PATTERN, checkIdempotencyKey } from './idempotency-key.js';
import { IdempotencyStore, type KeyClaim } from './idempotency-store.js';
import { type OrderAnswer, answerOf } from './order-answer.js';
import {
  type PlaceOrder,
  orderSchema,
  placeOrderSchema,
  placedOrderSchema,
  unsettledOrderSchema,
} from './order.schemas.js';
import { OrdersService } from './orders.service.js';

/** Spelt as in the documentation, as {@link IDEMPOTENCY_KEY} is. */
const REQUEST_ID = 'X-Request-Id';

const LOCATION = (description: string) => ({
  Location: { description, schema: { type: 'string' as const } },
});

/** Accepts orders: an order is placed on all three services, or on none. */
@ApiTags('orders')
@Controller('orders')
export class OrdersController {
  constructor(
    private readonly orders: OrdersService,
    private readonly answers: IdempotencyStore<OrderAnswer>,
    private readonly adapterHost: HttpAdapterHost,
  ) {}

  @Post()
  @ApiOperation({ summary: 'Place an order: its record, the stock and the payment, or nothing' })
  @ApiHeader({
    name: IDEMPOTENCY_KEY,
    required: false,
    description:
      'A repeated request with the same key is answered like the first one and done once. While the outcome of the first ' +
      'one is open, the answer gives the present knowledge.',
    schema: { type: 'string', minLength: 1, maxLength: 255, pattern: IDEMPOTENCY_KEY_PATTERN },
  })
  @ApiHeader({
    name: REQUEST_ID,
    required: false,
    description:
      'The id of the request, for the log lines of its transaction. What is not 1 to 200 visible ASCII characters is ignored.',
    schema: { type: 'string' },
  })
  @ApiCreatedResponse({
    standardSchema: placedOrderSchema,
    description: 'All three services have committed',
    headers: LOCATION('The order'),
  })
  @ApiAcceptedResponse({
    standardSchema: unsettledOrderSchema,
    description: 'Commit is decided and delivery continues, or the outcome is not known yet',
    headers: LOCATION('The transaction'),
  })
  @ApiProblem(400, 'The request is not valid')
  @ApiProblem(409, 'Out of stock, not enough funds, or the first request with this key is still running')
  @ApiProblem(413, 'The body is larger than 16 KiB')
  @ApiProblem(415, 'The body is not JSON')
  @ApiProblem(422, 'The sku or the customer is unknown, or the key was sent before with another body')
  @ApiProblem(
    503,
    'A service is down or late, or the coordinator is full: nothing has happened, try again. With the code ' +
      'DTC_IDEMPOTENCY_KEY_UNKNOWN an order may have been placed: try again with the same key',
  )
  async place(
    @Body({ schema: placeOrderSchema }) request: PlaceOrder,
    @Headers(IDEMPOTENCY_KEY) key: string | undefined,
    @Headers(REQUEST_ID) requestId: string | undefined,
    @Res({ passthrough: true }) response: unknown,
  ): Promise<OrderAnswer['body']> {
    const { status, location, body } = await this.answerOnce(request, key, requestIdFrom(requestId));
    const { httpAdapter } = this.adapterHost;
    httpAdapter.status(response, status);
    httpAdapter.setHeader(response, 'Location', location);
    return body;
  }

  @Get(':id')
  @ApiOperation({ summary: 'An order that was placed' })
  @ApiOkResponse({ standardSchema: orderSchema })
  @ApiProblem(404, 'No order of this id has committed')
  async find(@Param('id') orderId: string): Promise<z.output<typeof orderSchema>> {
    const order = await this.orders.find(orderId);
    if (order === undefined) throw new NotFoundException('No order of this id has committed.');
    const { transactionId, customerId, items, total } = order;
    return {
      orderId,
      transactionId,
      customerId,
      status: 'confirmed',
      items: items.map(({ sku, quantity, unitPrice }) => ({ sku, quantity, unitPrice: money(unitPrice) })),
      total: money(total),
    };
  }

  private answerOnce(
    request: PlaceOrder,
    key: string | undefined,
    requestId: string | undefined,
  ): Promise<OrderAnswer> {
    if (key === undefined) return this.answer(request, requestId);
    checkIdempotencyKey(key);
    return this.answers.once(key, request, (claim) => this.answer(request, requestId, claim));
  }

  private async answer(
    request: PlaceOrder,
    requestId: string | undefined,
    claim?: KeyClaim,
  ): Promise<OrderAnswer> {
    const { order, outcome } = await this.orders.place(request, claim, requestId);
    return answerOf(order, outcome);
  }
}
