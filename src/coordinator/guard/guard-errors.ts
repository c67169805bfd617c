import type { CoordinatorRun } from '../participant/participant.js';

/**
 * Thrown when a prepare is repeated whose first call did not say how it ended.
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
 * Thrown when a run of a coordinator has the log id and the epoch of another run. It is not served.
 *
 * @publicApi
 */
export class GuardRunError extends Error {
  readonly code = 'DTC_GUARD_RUN_CONFLICT';

  constructor({ name, logId, epoch }: Pick<CoordinatorRun, 'name' | 'logId' | 'epoch'>) {
    super(
      `Coordinator "${name}" works with start ${epoch} of the log ${logId}, and another run has had that start before: the log was ` +
        'copied, or restored from a backup. Its transaction ids are given out a second time, so nothing is done for it. ' +
        'Stop it, and start it with the original log, or with a new one in an empty folder.',
    );
    this.name = 'GuardRunError';
  }
}

/**
 * Thrown when a guard is called with what is no branch, or without a step that it is to run. Nothing was done.
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
 * Thrown when the store of a guard answers with something else than a record. Nothing was done, and the call is due again.
 *
 * @publicApi
 */
export class GuardStoreError extends Error {
  readonly code = 'DTC_GUARD_INVALID_RECORD';

  constructor(call: 'get' | 'insert', key: string, answer: string) {
    super(
      `The store of the guard answered ${call} of ${key} with ${answer}, which is no record of a guard. It is not known what ` +
        `became of the branch, so nothing was done. Correct the store: ${call} gives back what was put, or undefined.`,
    );
    this.name = 'GuardStoreError';
  }
}
