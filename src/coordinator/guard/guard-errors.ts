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
