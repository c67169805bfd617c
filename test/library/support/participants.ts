import { Participant, type TransactionParticipant, type Vote } from '../../../src/coordinator/index.js';

/** A participant without a will of its own; subclasses bear the decorator. */
export class Willing implements TransactionParticipant {
  readonly prepared: string[] = [];

  prepare(branch: { transactionId: string }): Vote {
    this.prepared.push(branch.transactionId);
    return 'commit';
  }

  commit(): void {}
  rollback(): void {}
}

@Participant({ name: 'alpha' })
export class Alpha extends Willing {}

@Participant({ name: 'beta' })
export class Beta extends Willing {}
