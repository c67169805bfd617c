import type { Branch, TransactionParticipant } from './participant.js';

/**
 * Stands in for a participant that is named in a decision and not registered (yet). Until it is, every attempt fails, and
 * so the branch stays open.
 */
export class AwaitedParticipant implements TransactionParticipant {
  constructor(
    private readonly name: string,
    private readonly find: () => TransactionParticipant | undefined,
  ) {}

  prepare(): never {
    throw new Error(`${this.name} is not registered, so it cannot take part in anything new`);
  }

  commit(branch: Branch): void | PromiseLike<void> {
    return this.found().commit(branch);
  }

  rollback(branch: Branch): void | PromiseLike<void> {
    return this.found().rollback(branch);
  }

  private found(): TransactionParticipant {
    const participant = this.find();
    if (participant === undefined) {
      throw new Error(`no participant "${this.name}" is registered: provide it, and the branch is completed`);
    }
    return participant;
  }
}
