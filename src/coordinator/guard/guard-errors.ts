import type { Branch, CoordinatorRun } from '../participant/participant.js';

/**
 * Thrown when a prepare is repeated and the first call has no known result.
 *
 * @publicApi
 */
export class GuardConflictError extends Error {
  readonly code = 'DTC_GUARD_CONFLICT';

  constructor(key: string, why: string) {
    super(`The branch ${key} cannot be prepared again: ${why}. It waits for its rollback.`);
    this.name = 'GuardConflictError';
  }
}

/**
 * Thrown when another run of a coordinator has already used this log id and epoch. The guard does not serve
 * the new run.
 *
 * @publicApi
 */
export class GuardRunError extends Error {
  readonly code = 'DTC_GUARD_RUN_CONFLICT';

  constructor({ name, logId, epoch }: Pick<CoordinatorRun, 'name' | 'logId' | 'epoch'>) {
    super(
      `Coordinator "${name}" uses start ${epoch} of the log ${logId}, which another run has used before, or which is long over: the ` +
        'log was copied, or restored from a backup. It would reuse transaction ids, so the guard does nothing for it. ' +
        'Stop it, and start it with the original log, or with a new one in an empty folder.',
    );
    this.name = 'GuardRunError';
  }
}

/**
 * Thrown when a guard is called without a valid branch, or without one of its steps. The guard did nothing.
 *
 * @publicApi
 */
export class GuardCallError extends Error {
  readonly code = 'DTC_GUARD_INVALID_CALL';

  constructor(problem: string) {
    super(`The guard cannot make this call, and has done nothing: ${problem}`);
    this.name = 'GuardCallError';
  }
}

/**
 * Thrown when the store of a guard answers with something other than a record. The guard did nothing, and the
 * call must be repeated.
 *
 * @publicApi
 */
export class GuardStoreError extends Error {
  readonly code = 'DTC_GUARD_INVALID_RECORD';

  constructor(call: 'get' | 'insert', key: string, answer: string) {
    super(
      `The store of the guard answered ${call} of ${key} with ${answer}, which is not a record of a guard. The state of the branch ` +
        `is unknown, so the guard did nothing. Correct the store: ${call} must return the stored record, or undefined.`,
    );
    this.name = 'GuardStoreError';
  }
}

/**
 * Thrown when another process is at work on the branch. Nothing was done, and the call may be repeated.
 *
 * @publicApi
 */
export class TryAgainError extends Error {
  readonly code = 'DTC_TRY_AGAIN';

  constructor(key: string, why: string) {
    super(`The branch ${key} is left alone for now, because ${why}: try again.`);
    this.name = 'TryAgainError';
  }
}

/**
 * Thrown when a call of a transaction comes that is over: it was late. Nothing was done, and nothing is known
 * of the branch.
 *
 * @publicApi
 */
export class TransactionOverError extends Error {
  readonly code = 'DTC_TRANSACTION_OVER';

  constructor({ transactionId, branchId }: Pick<Branch, 'transactionId' | 'branchId'>) {
    super(
      `The transaction ${transactionId} is over, so nothing was done for the branch ${branchId}. It may have committed: its coordinator ` +
        'knows the outcome.',
    );
    this.name = 'TransactionOverError';
  }
}
