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
import { Accounts } from './accounts.js';

/** A charge to a customer. */
export interface Charge {
  readonly customerId: string;
  /** In cents. */
  readonly amount: number;
}

const REASONS = {
  UNKNOWN_CUSTOMER: 'the customer has no account here',
  INSUFFICIENT_FUNDS: 'the order costs more than the customer has',
} as const;

/** @returns the refusal of a charge. */
export function refuseCharge(code: keyof typeof REASONS): AbortVote {
  return refuse(code, REASONS[code]);
}

/** Authorises a payment in prepare, captures it in commit, and voids it in rollback. */
@Participant({ name: 'payment' })
export class PaymentParticipant implements TransactionParticipant<Charge> {
  private readonly guard = new ParticipantGuard(new MemoryGuardStore());

  constructor(private readonly accounts: Accounts) {}

  prepare(branch: Branch<Charge>): Promise<Vote> {
    const { customerId, amount } = branch.payload;
    return this.guard.prepare(branch, () => {
      const problem = this.accounts.authorise(branchKey(branch), customerId, amount);
      return problem === undefined ? 'commit' : refuseCharge(problem);
    });
  }

  commit(branch: Branch<Charge>): Promise<void> {
    return this.guard.commit(branch, () => this.accounts.capture(branchKey(branch)));
  }

  rollback(branch: Branch<Charge | undefined>): Promise<void> {
    return this.guard.rollback(branch, () => this.accounts.release(branchKey(branch)));
  }
}
