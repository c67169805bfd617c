import assert from 'node:assert/strict';
import { Injectable } from '@nestjs/common';
import type { Levels, StockLevel, StockLevels } from './stock-levels.js';

/** A quantity of one product. */
export interface StockLine {
  readonly sku: string;
  readonly quantity: number;
}

/** Why nothing was reserved: the first line at fault, from 0. */
export interface Shortage {
  readonly line: number;
  readonly code: 'UNKNOWN_SKU' | 'OUT_OF_STOCK';
}

/** The stock at the start, by sku. */
export const SEED_STOCK: Readonly<Record<string, number>> = {
  keyboard: 100,
  monitor: 10,
  'usb-cable': 1_000,
  'last-lamp': 1,
};

/**
 * The stock, in memory. A reservation takes all of its lines or none, in one synchronous step, so two of them
 * cannot take the same piece: `0 <= reserved <= onHand` holds for every product at every moment.
 */
@Injectable()
export class Stock implements StockLevels {
  private readonly levels = new Map(
    Object.entries(SEED_STOCK).map(([sku, onHand]) => [sku, { onHand, reserved: 0 }]),
  );
  private readonly reservations = new Map<string, readonly StockLine[]>();

  level(sku: string): StockLevel | undefined {
    return this.levels.get(sku);
  }

  fillUp(levels: Levels): Levels {
    const added: Record<string, number> = {};
    for (const [sku, wanted] of Object.entries(levels)) {
      const level = this.levels.get(sku);
      if (level === undefined || level.onHand >= wanted) continue;
      added[sku] = wanted - level.onHand;
      level.onHand = wanted;
    }
    return added;
  }

  /**
   * Reserves pieces under a key.
   *
   * @param lines no product twice.
   * @returns undefined when all of them are reserved, otherwise why none is.
   */
  reserve(key: string, lines: readonly StockLine[]): Shortage | undefined {
    assert(!this.reservations.has(key), 'a reservation is made once');
    for (const [line, { sku, quantity }] of lines.entries()) {
      const level = this.levels.get(sku);
      if (level === undefined) return { line, code: 'UNKNOWN_SKU' };
      if (level.onHand - level.reserved < quantity) return { line, code: 'OUT_OF_STOCK' };
    }
    this.reservations.set(key, lines);
    for (const { sku, quantity } of lines) this.change(sku, 0, quantity);
    return undefined;
  }

  /** The pieces reserved under a key leave the stock. */
  take(key: string): void {
    const lines = this.reservations.get(key);
    assert(lines !== undefined, 'only reserved pieces are taken');
    this.reservations.delete(key);
    for (const { sku, quantity } of lines) this.change(sku, -quantity, -quantity);
  }

  /** The pieces reserved under a key, if any, are available to other orders again. */
  release(key: string): void {
    for (const { sku, quantity } of this.reservations.get(key) ?? []) this.change(sku, 0, -quantity);
    this.reservations.delete(key);
  }

  private change(sku: string, onHand: number, reserved: number): void {
    const level = this.levels.get(sku);
    assert(level !== undefined, 'a stocked product stays known');
    level.onHand += onHand;
    level.reserved += reserved;
    assert(0 <= level.reserved && level.reserved <= level.onHand, 'never oversold');
  }
}
