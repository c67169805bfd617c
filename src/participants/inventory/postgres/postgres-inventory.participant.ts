import type { QueryConfig, QueryResult } from 'pg';
import { type Branch, Participant, type Vote } from '../../../coordinator/index.js';
import { PostgresBatchParticipant } from '../../../postgres/index.js';
import { ServiceDatabase } from '../../postgres/service-database.js';
import { type Reservation, refuseReservation } from '../inventory.participant.js';
import type { StockLine } from '../stock.js';
import { STOCK_SCHEMA } from './stock-table.js';

/**
 * Takes stock off the shelves. Its rows stay locked until the decision, so that no other order takes the same
 * pieces.
 */
@Participant({ name: 'inventory' })
export class PostgresInventoryParticipant extends PostgresBatchParticipant<Reservation> {
  constructor(private readonly database: ServiceDatabase) {
    super(database.participantOptions);
  }

  override async onModuleInit(): Promise<void> {
    await super.onModuleInit();
    await this.database.createSchema(STOCK_SCHEMA);
  }

  protected statements({ payload: { lines } }: Branch<Reservation>): QueryConfig[] {
    const updates = inLockOrder(lines).map(({ sku, quantity }) => ({
      text: 'UPDATE stock SET on_hand = on_hand - $2 WHERE sku = $1 AND on_hand >= $2',
      values: [sku, quantity],
    }));
    const known = {
      text: 'SELECT sku FROM stock WHERE sku = ANY ($1)',
      values: [lines.map(({ sku }) => sku)],
    };
    return [...updates, known];
  }

  protected vote(results: readonly QueryResult[], { payload: { lines } }: Branch<Reservation>): Vote {
    const taken = new Set(
      inLockOrder(lines)
        .filter((_, index) => results[index]?.rowCount === 1)
        .map(({ sku }) => sku),
    );
    const line = lines.findIndex(({ sku }) => !taken.has(sku));
    if (line === -1) return 'commit';
    const { rows } = results.at(-1) as QueryResult<{ sku: string }>;
    const isKnown = rows.some(({ sku }) => sku === lines[line]?.sku);
    return refuseReservation({ line, code: isKnown ? 'OUT_OF_STOCK' : 'UNKNOWN_SKU' });
  }
}

/** All orders take several products in the same order, so that no two orders wait for each other. */
function inLockOrder(lines: readonly StockLine[]): StockLine[] {
  return lines.toSorted((a, b) => (a.sku < b.sku ? -1 : 1));
}
