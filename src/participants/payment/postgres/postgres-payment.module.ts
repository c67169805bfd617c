import { type DynamicModule, Module } from '@nestjs/common';
import { ServiceDatabase } from '../../postgres/service-database.js';
import { AccountsController } from '../accounts.controller.js';
import { Balances } from '../balances.js';
import { PaymentParticipant } from '../payment.participant.js';
import { AccountTable } from './account-table.js';
import { PostgresPaymentParticipant } from './postgres-payment.participant.js';

/**
 * The payment service in PostgreSQL, in place of the one in memory: callers name its participant as before.
 */
@Module({})
export class PostgresPaymentModule {
  /** @param url of its database. */
  static forRoot(url: string): DynamicModule {
    return {
      module: PostgresPaymentModule,
      controllers: [AccountsController],
      providers: [
        { provide: ServiceDatabase, useFactory: () => new ServiceDatabase('payment', url) },
        { provide: Balances, useClass: AccountTable },
        { provide: PaymentParticipant, useClass: PostgresPaymentParticipant },
      ],
      exports: [Balances],
    };
  }
}
