import { Injectable } from '@nestjs/common';
import { type Schema, ServiceDatabase } from '../../postgres/service-database.js';
import type { Levels, StockLevel, StockLevels } from '../stock-levels.js';
import { SEED_STOCK } from '../stock.js';

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

  /** A product that an open transaction has locked is left as it is. */
  async fillUp(levels: Levels): Promise<Levels> {
    const rows = await this.database.query<{ sku: string; added: number }>(
      `WITH low AS (
         SELECT sku, level, level - on_hand AS added
         FROM stock JOIN unnest($1::text[], $2::integer[]) AS wanted (sku, level) USING (sku)
         WHERE on_hand < level FOR UPDATE OF stock SKIP LOCKED
       )
       UPDATE stock SET on_hand = level FROM low WHERE stock.sku = low.sku RETURNING low.sku, added`,
      [Object.keys(levels), Object.values(levels)],
    );
    return Object.fromEntries(rows.map(({ sku, added }) => [sku, added]));
  }
}
