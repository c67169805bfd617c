import { Injectable } from '@nestjs/common';
import { type Schema, ServiceDatabase } from '../../postgres/service-database.js';
import type { StockLevel } from '../stock-levels.js';
import { SEED_STOCK } from '../stock.js';
import type { StockLevels } from '../stock-levels.js';

export const STOCK_SCHEMA: Schema = {
  table: 'stock',
  statements: [
    {
      text: `
        CREATE TABLE stock (
          sku text PRIMARY KEY,
          on_hand integer NOT NULL CHECK (on_hand >= 0)
        )`,
    },
    {
      text: 'INSERT INTO stock SELECT * FROM unnest($1::text[], $2::integer[])',
      values: [Object.keys(SEED_STOCK), Object.values(SEED_STOCK)],
    },
  ],
};

/**
 * The stock, in PostgreSQL. Pieces taken by an open transaction are locked, and the change is visible after
 * its commit. So no piece is ever shown as reserved.
 */
@Injectable()
export class StockTable implements StockLevels {
  constructor(private readonly database: ServiceDatabase) {}

  async level(sku: string): Promise<StockLevel | undefined> {
    const [row] = await this.database.query<{ on_hand: number }>('SELECT on_hand FROM stock WHERE sku = $1', [
      sku,
    ]);
    return row && { onHand: row.on_hand, reserved: 0 };
  }
}
