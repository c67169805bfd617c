import { Module } from '@nestjs/common';
import { Catalogue } from './catalogue.js';
import { InventoryController } from './inventory.controller.js';
import { InventoryParticipant } from './inventory.participant.js';
import { StockLevels } from './stock-levels.js';
import { Stock } from './stock.js';

/** The inventory service, in memory: what is sold, how much of it there is, and its part in transactions. */
@Module({
  controllers: [InventoryController],
  providers: [Catalogue, Stock, { provide: StockLevels, useExisting: Stock }, InventoryParticipant],
  exports: [Catalogue],
})
export class InventoryModule {}
