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
