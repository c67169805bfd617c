import {
  type Branch,
  MemoryGuardStore,
  Participant,
  ParticipantGuard,
  type TransactionParticipant,
  type Vote,
  branchKey,
} from '../../coordinator/index.js';
import { OrderBook } from './order-book.js';
import type { Order } from './order.js';

/** Drafts an order in prepare, confirms it in commit, and discards it in rollback. */
@Participant({ name: 'order' })
export class OrderParticipant implements TransactionParticipant<Order> {
  private readonly guard = new ParticipantGuard(new MemoryGuardStore());

  constructor(private readonly orders: OrderBook) {}

  prepare(branch: Branch<Order>): Promise<Vote> {
    const { payload: order, transactionId } = branch;
    return this.guard.prepare(branch, () => {
      this.orders.draft(branchKey(branch), { ...order, transactionId });
      return 'commit';
    });
  }

  commit(branch: Branch<Order>): Promise<void> {
    return this.guard.commit(branch, () => this.orders.confirm(branchKey(branch)));
  }

  rollback(branch: Branch<Order | undefined>): Promise<void> {
    return this.guard.rollback(branch, () => this.orders.discard(branchKey(branch)));
  }
}
