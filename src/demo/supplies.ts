import { Injectable } from '@nestjs/common';
import { StockLevels } from '../participants/inventory/stock-levels.js';
import { SEED_STOCK } from '../participants/inventory/stock.js';
import { SEED_BALANCES } from '../participants/payment/accounts.js';
import { Balances } from '../participants/payment/balances.js';

/** The products that the traffic of a demonstration buys. */
export const DEMO_PRODUCTS = ['keyboard', 'monitor', 'usb-cable'] as const;
/** How many customers that traffic has. An order in doubt holds the account of its customer alone. */
const CUSTOMERS = 200;
const PIECES = 10_000;
const CENTS = 1_000_000;

/** The customers of the traffic of a demonstration. */
export const DEMO_CUSTOMERS: readonly string[] = Array.from(
  { length: CUSTOMERS },
  (_, index) => `customer-${index + 1}`,
);

const STOCK = { ...SEED_STOCK, ...Object.fromEntries(DEMO_PRODUCTS.map((sku) => [sku, PIECES])) };
const MONEY = { ...SEED_BALANCES, ...Object.fromEntries(DEMO_CUSTOMERS.map((name) => [name, CENTS])) };

/** The added supplies. */
export interface Restocked {
  readonly pieces: number;
  readonly cents: number;
}

/**
 * Fills the shelves and the accounts of the customers, so that the traffic of a demonstration does not run
 * dry.
 */
@Injectable()
export class Supplies {
  private running: Promise<Restocked> | undefined;

  constructor(
    private readonly stock: StockLevels,
    private readonly balances: Balances,
  ) {}

  /**
   * Fills everything up to its level. A call while another one works gets the result of that one.
   *
   * @throws ProblemException 503 when a database does not answer.
   */
  restock(): Promise<Restocked> {
    this.running ??= this.fillUp().finally(() => (this.running = undefined));
    return this.running;
  }

  private async fillUp(): Promise<Restocked> {
    const [stock, balances] = await Promise.all([this.stock.fillUp(STOCK), this.balances.fillUp(MONEY)]);
    return { pieces: sumOf(stock), cents: sumOf(balances) };
  }
}

function sumOf(added: Readonly<Record<string, number>>): number {
  return Object.values(added).reduce((sum, each) => sum + each, 0);
}
