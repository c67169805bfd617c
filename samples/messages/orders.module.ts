import { Module } from '@nestjs/common';
import { type ClientProxy, ClientsModule, Transport } from '@nestjs/microservices';
import { CoordinatorModule } from '../../src/coordinator/index.js';
import { OutboxModule, sendWith } from '../../src/outbox/index.js';
import { SqliteDecisionLog } from '../../src/sqlite/index.js';
import { OrderOutbox, OrderParticipant } from './order.participant.js';

/** NATS keeps nothing, so a message has been sent when its receiver has answered. */
const broker = ClientsModule.registerAsync([
  {
    name: 'BROKER',
    useFactory: () => ({
      transport: Transport.NATS,
      options: { servers: process.env['NATS_URL'] ?? 'nats://localhost:4222', reconnectTimeWait: 50 },
    }),
  },
]);

@Module({ providers: [OrderOutbox], exports: [OrderOutbox] })
class OrderOutboxModule {}

/** The service of the orders: a participant, and the relay of its messages. */
@Module({
  imports: [
    CoordinatorModule.forRootAsync({
      useFactory: () => ({
        name: 'orders',
        log: new SqliteDecisionLog({ path: process.env['ORDER_LOG'] ?? 'data/decisions' }),
      }),
    }),
    OrderOutboxModule,
    OutboxModule.forRootAsync({
      imports: [OrderOutboxModule, broker],
      inject: [OrderOutbox, 'BROKER'],
      useFactory: (outbox: OrderOutbox, client: ClientProxy) => ({
        stores: [outbox],
        send: sendWith(client),
        sendTimeoutMs: 2_000,
      }),
    }),
  ],
  providers: [OrderParticipant],
})
export class OrdersModule {}
