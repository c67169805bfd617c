import {
  type Branch,
  MemoryGuardStore,
  Participant,
  ParticipantGuard,
  type TransactionParticipant,
  type Vote,
  branchKey,
  refuse,
} from 'nestjs-dtc';
import { Vault } from './vault.js';

/** The part of one bank in a transfer, in cents. A negative amount is paid in. */
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
      this.vault.hold(branchKey(branch), account, amount)
        ? 'commit'
        : refuse('INSUFFICIENT_FUNDS', 'there is not enough money in the account'),
    );
  }

  commit(branch: Branch<Movement>): Promise<void> {
    return this.guard.commit(branch, () => this.vault.take(branchKey(branch)));
  }

  rollback(branch: Branch<Movement | undefined>): Promise<void> {
    return this.guard.rollback(branch, () => this.vault.release(branchKey(branch)));
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
