import {
  type Branch,
  MemoryGuardStore,
  Participant,
  ParticipantGuard,
  type TransactionParticipant,
  type Vote,
  branchKey,
  refuse,
} from '../../coordinator/index.js';
import { Stock, type StockLine } from './stock.js';

/** What the inventory is asked to set aside and hand out. No product twice. */
export interface Reservation {
  readonly lines: readonly StockLine[];
}

/** Reserves stock in prepare, hands it out in commit, and puts it back in rollback. */
@Participant({ name: 'inventory' })
export class InventoryParticipant implements TransactionParticipant<Reservation> {
  private readonly guard = new ParticipantGuard(new MemoryGuardStore());

  constructor(private readonly stock: Stock) {}

  prepare(branch: Branch<Reservation>): Promise<Vote> {
    const { lines } = branch.payload;
    return this.guard.prepare(branch, () => {
      const shortage = this.stock.reserve(branchKey(branch), lines);
      if (shortage === undefined) return 'commit';
      // A reason reaches the log, which holds no payload: the line at fault is named by its number.
      const line = `item ${shortage.line + 1} of the order`;
      return shortage.code === 'OUT_OF_STOCK'
        ? refuse('OUT_OF_STOCK', `${line} asks for more than is in stock`)
        : refuse('UNKNOWN_SKU', `${line} is not sold here`);
    });
  }

  commit(branch: Branch<Reservation>): Promise<void> {
    return this.guard.commit(branch, () => this.stock.take(branchKey(branch)));
  }

  rollback(branch: Branch<Reservation>): Promise<void> {
    return this.guard.rollback(branch, () => this.stock.release(branchKey(branch)));
  }
}
