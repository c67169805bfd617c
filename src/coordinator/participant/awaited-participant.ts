import type { TransactionParticipant } from './participant.js';

/**
 * Stands in for a participant that a decision names and that is not registered. The branches of this
 * participant stay open until it is registered.
 */
export class AwaitedParticipant implements TransactionParticipant {
  constructor(private readonly name: string) {}

  prepare(): never {
    throw this.missing();
  }

  commit(): never {
    throw this.missing();
  }

  rollback(): never {
    throw this.missing();
  }

  private missing(): Error {
    return new Error(`no participant "${this.name}" is registered: provide it, and the branch is completed`);
  }
}
