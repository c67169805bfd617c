import { Module } from '@nestjs/common';
import { OrderBook } from './order-book.js';
import { OrderRecords } from './order-records.js';
import { OrderParticipant } from './order.participant.js';

/** The order service, in memory: the orders, and its participant. */
@Module({
  providers: [OrderBook, { provide: OrderRecords, useExisting: OrderBook }, OrderParticipant],
  exports: [OrderBook, OrderRecords],
})
export class OrderModule {}
