import {
  type AbortVote,
  type Branch,
  MemoryGuardStore,
  Participant,
  ParticipantGuard,
  type TransactionParticipant,
  type Vote,
  branchKey,
  refuse,
} from '../../coordinator/index.js';
import { type Shortage, Stock, type StockLine } from './stock.js';

/** The products to reserve and hand out. No product twice. */
export interface Reservation {
  readonly lines: readonly StockLine[];
}

/**
 * @returns the refusal of a reservation. It reaches the log, which holds no payload, so it names the line by
 * its number.
 */
export function refuseReservation({ line, code }: Shortage): AbortVote {
  const item = `item ${line + 1} of the order`;
  return code === 'OUT_OF_STOCK'
    ? refuse(code, `${item} asks for more than is in stock`)
    : refuse(code, `${item} is not sold here`);
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
      return shortage === undefined ? 'commit' : refuseReservation(shortage);
    });
  }

  commit(branch: Branch<Reservation>): Promise<void> {
    return this.guard.commit(branch, () => this.stock.take(branchKey(branch)));
  }

  rollback(branch: Branch<Reservation | undefined>): Promise<void> {
    return this.guard.rollback(branch, () => this.stock.release(branchKey(branch)));
  }
}
