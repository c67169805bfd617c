import { type DynamicModule, Module } from '@nestjs/common';
import { InventoryModule } from '../participants/inventory/inventory.module.js';
import { PostgresInventoryModule } from '../participants/inventory/postgres/postgres-inventory.module.js';
import { OrderModule } from '../participants/order/order.module.js';
import { PostgresOrderModule } from '../participants/order/postgres/postgres-order.module.js';
import { PaymentModule } from '../participants/payment/payment.module.js';
import { PostgresPaymentModule } from '../participants/payment/postgres/postgres-payment.module.js';
import { IdempotencyStore } from './idempotency-store.js';
import { type OrderAnswer, OrderAbortedError, currentAnswer, earlierAnswerOf } from './order-answer.js';
import { OrdersController } from './orders.controller.js';
import { OrdersService } from './orders.service.js';

/** The URLs of the three services' databases. */
export interface ServiceDatabases {
  readonly order: string;
  readonly inventory: string;
  readonly payment: string;
}

/** Orders over HTTP, and the three services that an order changes. */
@Module({
  controllers: [OrdersController],
  providers: [
    OrdersService,
    {
      provide: IdempotencyStore,
      inject: [OrdersService],
      useFactory: (orders: OrdersService) =>
        new IdempotencyStore<OrderAnswer>({
          earlier: async (key) => {
            const state = await orders.stateOfKey(key);
            if (typeof state === 'string') return state;
            return earlierAnswerOf(state, orders.transactionOf(state.order.transactionId));
          },
          knowsItsKey: orders.sharesKeys,
          openAfter: (error) => (error instanceof OrderAbortedError ? error.open : undefined),
          current: (open) => {
            const transaction = orders.transactionOf(open.body.transactionId);
            return currentAnswer(open, transaction);
          },
        }),
    },
  ],
})
export class OrdersModule {
  /**
   * @param databases in PostgreSQL; without them the services keep their data in memory, until the process
   * ends.
   */
  static forRoot(databases?: ServiceDatabases): DynamicModule {
    const services =
      databases === undefined
        ? [OrderModule, InventoryModule, PaymentModule]
        : [
            PostgresOrderModule.forRoot(databases.order),
            PostgresInventoryModule.forRoot(databases.inventory),
            PostgresPaymentModule.forRoot(databases.payment),
          ];
    return { module: OrdersModule, imports: services, exports: [OrdersService, ...services] };
  }
}
