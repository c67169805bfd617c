import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { TransactionClientModule } from 'nestjs-dtc/client';
import { ProblemFilter } from 'nestjs-dtc/problem';
import { Database } from '../common/database.js';
import { participantHost } from '../common/participant-host.js';
import { type ParticipantSettings, tokensIn } from '../common/settings.js';
import { OrderParticipant } from './order.participant.js';
import { OrdersController } from './orders.controller.js';

const TABLES = `
  CREATE TABLE IF NOT EXISTS orders (
    order_id text PRIMARY KEY, customer text NOT NULL, lines jsonb NOT NULL, total integer NOT NULL,
    placed_by text NOT NULL, cancelled_by text)`;

/** The order service: the orders, in a database of its own. The gateway carries transactions to it. */
@Module({})
export class OrderModule {
  static forRoot(settings: ParticipantSettings): DynamicModule {
    return {
      module: OrderModule,
      imports: [
        participantHost(settings),
        TransactionClientModule.forRoot({
          members: settings.COORDINATORS.map((url) => `${url}/dtc`),
          token: tokensIn(settings, 'caller'),
          giveUpAfterMs: 10_000,
          carriers: [{ name: 'gateway', token: tokensIn(settings, 'carrier') }],
        }),
      ],
      controllers: [OrdersController],
      providers: [
        { provide: APP_FILTER, useClass: ProblemFilter },
        { provide: Database, useFactory: () => new Database(settings.DATABASE_URL, TABLES) },
        OrderParticipant,
      ],
    };
  }
}
