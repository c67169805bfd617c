import { Module } from '@nestjs/common';
import { InventoryModule } from '../participants/inventory/inventory.module.js';
import { OrderModule } from '../participants/order/order.module.js';
import { PaymentModule } from '../participants/payment/payment.module.js';
import { IdempotencyStore } from './idempotency-store.js';
import { OrdersController } from './orders.controller.js';
import { OrdersService } from './orders.service.js';

/** Orders over HTTP, and the three services that an order changes. */
@Module({
  imports: [OrderModule, InventoryModule, PaymentModule],
  controllers: [OrdersController],
  providers: [OrdersService, { provide: IdempotencyStore, useFactory: () => new IdempotencyStore() }],
})
export class OrdersModule {}
