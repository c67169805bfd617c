import { Module } from '@nestjs/common';
import { Catalogue } from './catalogue.js';
import { InventoryController } from './inventory.controller.js';
import { InventoryParticipant } from './inventory.participant.js';
import { StockLevels } from './stock-levels.js';
import { Stock } from './stock.js';

/** The inventory service, in memory: the products, their stock, and its participant. */
@Module({
  controllers: [InventoryController],
  providers: [Catalogue, Stock, { provide: StockLevels, useExisting: Stock }, InventoryParticipant],
  exports: [Catalogue, StockLevels],
})
export class InventoryModule {}
