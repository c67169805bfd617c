import { inspect } from 'node:util';
import type { Branch, CoordinatorRun } from './participant.js';

/**
 * The branch that a participant receives. The coordinator's own record stays out of its reach, whatever the
 * participant freezes, changes or keeps.
 */
export class GivenBranch implements Branch {
  readonly #branch: Branch;

  constructor(branch: Branch) {
    this.#branch = branch;
  }

  get transactionId(): string {
    return this.#branch.transactionId;
  }

  get branchId(): string {
    return this.#branch.branchId;
  }

  get payload(): unknown {
    return this.#branch.payload;
  }

  get deadline(): number {
    return this.#branch.deadline;
  }

  get signal(): AbortSignal {
    return this.#branch.signal;
  }

  get attempt(): number {
    return this.#branch.attempt;
  }

  get run(): CoordinatorRun {
    return this.#branch.run;
  }

  toJSON(): object {
    const { transactionId, branchId, payload, deadline, attempt } = this;
    return { transactionId, branchId, payload, deadline, attempt };
  }

  [inspect.custom](): object {
    return this.toJSON();
  }
}

// All participants of the process share it. A branch is not frozen itself, as that costs more than the call.
Object.freeze(GivenBranch.prototype);
