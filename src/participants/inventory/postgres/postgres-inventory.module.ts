import { type DynamicModule, Module } from '@nestjs/common';
import { ServiceDatabase } from '../../postgres/service-database.js';
import { Catalogue } from '../catalogue.js';
import { InventoryController } from '../inventory.controller.js';
import { InventoryParticipant } from '../inventory.participant.js';
import { StockLevels } from '../stock-levels.js';
import { PostgresInventoryParticipant } from './postgres-inventory.participant.js';
import { StockTable } from './stock-table.js';

/**
 * The inventory service in PostgreSQL, in place of the one in memory: callers name its participant as before.
 */
@Module({})
export class PostgresInventoryModule {
  /** @param url of its database. */
  static forRoot(url: string): DynamicModule {
    return {
      module: PostgresInventoryModule,
      controllers: [InventoryController],
      providers: [
        Catalogue,
        { provide: ServiceDatabase, useFactory: () => new ServiceDatabase('inventory', url) },
        { provide: StockLevels, useClass: StockTable },
        { provide: InventoryParticipant, useClass: PostgresInventoryParticipant },
      ],
      exports: [Catalogue, StockLevels],
    };
  }
}
