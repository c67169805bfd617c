import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { ProblemFilter } from 'nestjs-dtc/problem';
import { Database } from '../common/database.js';
import { participantHost } from '../common/participant-host.js';
import type { ParticipantSettings } from '../common/settings.js';
import { InventoryParticipant } from './inventory.participant.js';
import { StockController } from './stock.controller.js';

/** The pieces at the start. */
export const STOCK_AT_START = {
  keyboard: 1_000,
  monitor: 1_000,
  'usb-cable': 1_000,
  mouse: 1_000,
  headset: 1_000,
  webcam: 1_000,
  'last-lamp': 1,
};

const TABLES = `
  CREATE TABLE IF NOT EXISTS stock (sku text PRIMARY KEY, on_hand integer NOT NULL CHECK (on_hand >= 0));
  INSERT INTO stock SELECT key, value::integer FROM json_each_text('${JSON.stringify(STOCK_AT_START)}')
    WHERE NOT EXISTS (SELECT FROM stock)`;

/** The inventory service: the stock, in a database of its own. */
@Module({})
export class InventoryModule {
  static forRoot(settings: ParticipantSettings): DynamicModule {
    return {
      module: InventoryModule,
      imports: [participantHost(settings)],
      controllers: [StockController],
      providers: [
        { provide: APP_FILTER, useClass: ProblemFilter },
        { provide: Database, useFactory: () => new Database(settings.DATABASE_URL, TABLES) },
        InventoryParticipant,
      ],
    };
  }
}
