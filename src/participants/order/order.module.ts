import { Module } from '@nestjs/common';
import { OrderBook } from './order-book.js';
import { OrderParticipant } from './order.participant.js';

/** The order service: the orders, and its part in transactions. */
@Module({
  providers: [OrderBook, OrderParticipant],
  exports: [OrderBook],
})
export class OrderModule {}
