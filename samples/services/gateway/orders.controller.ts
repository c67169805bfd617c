import {
  BadRequestException,
  Body,
  Controller,
  Get,
  Headers,
  HttpCode,
  HttpStatus,
  Param,
  Post,
} from '@nestjs/common';
import { requestIdFrom } from 'nestjs-dtc/client';
import { z } from 'zod';
import { type Receipt, Shop } from './shop.service.js';

const orderSchema = z.strictObject({
  customer: z.string().min(1).max(64),
  lines: z
    .array(z.strictObject({ sku: z.string().min(1).max(64), quantity: z.int().min(1).max(1_000) }))
    .min(1)
    .max(50)
    .refine(
      (lines) => new Set(lines.map(({ sku }) => sku)).size === lines.length,
      'must not name a sku twice',
    ),
});

/** Takes orders over HTTP. */
@Controller()
export class OrdersController {
  constructor(private readonly shop: Shop) {}

  /** 201 means that the order is placed and paid. An error says that nothing was done, or that this is not known: ask again. */
  @Post('orders')
  place(
    @Headers('idempotency-key') key: string | undefined,
    @Headers('x-request-id') requestId: string | undefined,
    @Body({ schema: orderSchema }) { customer, lines }: z.output<typeof orderSchema>,
  ): Promise<Receipt> {
    if (key === undefined) {
      throw new BadRequestException('Send the header Idempotency-Key, and the same one when you repeat it.');
    }
    return this.shop.place(key, customer, lines, requestIdFrom(requestId));
  }

  @Post('orders/:id/cancellation')
  @HttpCode(HttpStatus.OK)
  cancel(@Param('id') orderId: string): Promise<Receipt> {
    return this.shop.cancel(orderId);
  }

  @Get('health')
  health(): { readonly status: string } {
    return { status: 'ok' };
  }
}
