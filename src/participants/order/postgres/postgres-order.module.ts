import { type DynamicModule, Module } from '@nestjs/common';
import { ServiceDatabase } from '../../postgres/service-database.js';
import { OrderRecords } from '../order-records.js';
import { OrderParticipant } from '../order.participant.js';
import { OrderTables } from './order-tables.js';
import { PostgresOrderParticipant } from './postgres-order.participant.js';

/** The order service in PostgreSQL, in place of the one in memory: callers name its participant as before. */
@Module({})
export class PostgresOrderModule {
  /** @param url of its database. */
  static forRoot(url: string): DynamicModule {
    return {
      module: PostgresOrderModule,
      providers: [
        { provide: ServiceDatabase, useFactory: () => new ServiceDatabase('order', url) },
        { provide: OrderRecords, useClass: OrderTables },
        { provide: OrderParticipant, useClass: PostgresOrderParticipant },
      ],
      exports: [OrderRecords],
    };
  }
}
