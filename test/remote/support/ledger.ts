import {
  type Branch,
  Participant,
  type TransactionParticipant,
  type Vote,
  branchKey,
} from '../../../src/host/index.js';

/** The payload of a ledger. */
export interface Posting {
  readonly amount: number;
}

/** The data of one service. Its replicas share it, as they would share a database. */
export class Books {
  readonly prepared = new Map<string, number>();
  readonly committed = new Map<string, number>();
  /** The calls that have arrived, in order. */
  readonly calls: string[] = [];
  /** Answers in place of the service, by method. */
  readonly scripts: Partial<Record<'prepare' | 'commit' | 'rollback', (branch: Branch) => unknown>> = {};

  get balance(): number {
    return [...this.committed.values()].reduce((sum, amount) => sum + amount, 0);
  }

  of(method: string): number {
    return this.calls.filter((call) => call === method).length;
  }
}

/** @returns a participant of this name with these books. */
export function ledgerOf(name: string, books: Books): new () => TransactionParticipant<Posting> {
  @Participant({ name })
  class Ledger implements TransactionParticipant<Posting> {
    async prepare(branch: Branch<Posting>): Promise<Vote> {
      books.calls.push('prepare');
      const answer = await books.scripts.prepare?.(branch);
      if (answer !== undefined) return answer as Vote;
      books.prepared.set(branchKey(branch), branch.payload.amount);
      return 'commit';
    }

    async commit(branch: Branch<Posting>): Promise<void> {
      books.calls.push('commit');
      await books.scripts.commit?.(branch);
      const amount = books.prepared.get(branchKey(branch));
      if (amount === undefined) return;
      books.prepared.delete(branchKey(branch));
      books.committed.set(branchKey(branch), amount);
    }

    async rollback(branch: Branch<Posting | undefined>): Promise<void> {
      books.calls.push('rollback');
      await books.scripts.rollback?.(branch);
      books.prepared.delete(branchKey(branch));
    }
  }
  return Ledger;
}
