import { inspect } from 'node:util';
import type { Branch, CoordinatorRun } from './participant.js';

/**
 * The branch of one call, as its participant receives it: a copy of the fields, so that it can be spread,
 * cloned, compared and logged like any object. The participant cannot reach the coordinator's own record,
 * even if it changes or keeps the branch.
 */
export class GivenBranch implements Branch {
  readonly transactionId: string;
  readonly branchId: string;
  readonly payload: unknown;
  readonly deadline: number;
  readonly attempt: number;
  readonly run: CoordinatorRun;
  /** Only the branch of a caller that gave one has this field. */
  declare readonly requestId?: string;
  readonly #branch: Branch;

  /** @param deadline of this call. */
  constructor(branch: Branch, deadline = branch.deadline) {
    this.transactionId = branch.transactionId;
    this.branchId = branch.branchId;
    this.payload = branch.payload;
    this.deadline = deadline;
    this.attempt = branch.attempt;
    this.run = branch.run;
    const { requestId } = branch;
    if (requestId !== undefined) this.requestId = requestId;
    this.#branch = branch;
  }

  /** Made only on request, as few participants need it. So it is not copied by spreading. */
  get signal(): AbortSignal {
    return this.#branch.signal;
  }

  /** The token of the run is of no use in a log. */
  toJSON(): object {
    const { transactionId, branchId, payload, deadline, attempt, requestId } = this;
    const shown = { transactionId, branchId, payload, deadline, attempt };
    return requestId === undefined ? shown : { ...shown, requestId };
  }

  [inspect.custom](): object {
    return this.toJSON();
  }
}

// All participants of the process share it. A branch is not frozen itself, as that costs more than the call.
Object.freeze(GivenBranch.prototype);
