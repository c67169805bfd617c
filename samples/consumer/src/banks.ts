import {
  type Branch,
  MemoryGuardStore,
  Participant,
  ParticipantGuard,
  type TransactionParticipant,
  type Vote,
  refuse,
} from 'nestjs-dtc';
import { Vault } from './vault.js';

/** So many cents out of an account; a negative amount goes in. */
export interface Movement {
  readonly account: string;
  readonly amount: number;
}

abstract class Bank implements TransactionParticipant<Movement> {
  private readonly guard = new ParticipantGuard(new MemoryGuardStore());

  constructor(readonly vault: Vault) {}

  prepare(branch: Branch<Movement>): Promise<Vote> {
    const { account, amount } = branch.payload;
    return this.guard.prepare(branch, () =>
      this.vault.hold(branch.transactionId, account, amount)
        ? 'commit'
        : refuse('INSUFFICIENT_FUNDS', 'the account has not so much'),
    );
  }

  commit(branch: Branch<Movement>): Promise<void> {
    return this.guard.commit(branch, () => this.vault.take(branch.transactionId));
  }

  rollback(branch: Branch<Movement | undefined>): Promise<void> {
    return this.guard.rollback(branch, () => this.vault.release(branch.transactionId));
  }
}

@Participant({ name: 'north' })
export class NorthBank extends Bank {
  constructor() {
    super(new Vault(new Map([['ada', 100_00]])));
  }
}

@Participant({ name: 'south' })
export class SouthBank extends Bank {
  constructor() {
    super(new Vault(new Map([['bob', 0]])));
  }
}
