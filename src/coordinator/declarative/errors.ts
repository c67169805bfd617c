import { CoordinatorError } from '../errors.js';
import type { AbortedOutcome, HeuristicOutcome, PendingOutcome } from '../outcome.js';

/**
 * A method decorated with `@DistributedTransaction` has returned, and its transaction is not committed. The outcome says
 * what is known: `aborted` means that nothing was changed, `pending` and `heuristic` do not.
 *
 * @publicApi
 */
export class NotCommittedError extends Error {
  readonly code = 'DTC_NOT_COMMITTED';
  readonly transactionId: string;

  /** @param options its cause: what a participant, or a method that had joined, has thrown. */
  constructor(
    readonly outcome: AbortedOutcome | PendingOutcome | HeuristicOutcome,
    options?: ErrorOptions,
  ) {
    super(`The transaction ${outcome.transactionId} is not committed but ${wordsOf(outcome)}.`, options);
    this.name = 'NotCommittedError';
    this.transactionId = outcome.transactionId;
  }
}

/**
 * A method decorated with `@DistributedTransaction` has thrown after it had asked for commit by itself, and is committed.
 * Its cause is what it threw.
 *
 * @publicApi
 */
export class FailedAfterCommitError extends Error {
  readonly code = 'DTC_FAILED_AFTER_COMMIT';

  /** @param caller the method. */
  constructor(
    readonly caller: string,
    readonly transactionId: string,
    cause: unknown,
  ) {
    super(`${caller} failed after its transaction ${transactionId} was committed.`, { cause });
    this.name = 'FailedAfterCommitError';
  }
}

/** A method with the propagation `never` was called within a transaction. @publicApi */
export class InTransactionError extends CoordinatorError {
  readonly code = 'DTC_IN_TRANSACTION';

  constructor(
    readonly caller: string,
    readonly transactionId: string,
  ) {
    super(`${caller} must not run within a transaction, and was called within ${transactionId}.`);
  }
}

/** A decorated method was called on an object that no application with a coordinator has made. @publicApi */
export class NotManagedError extends CoordinatorError {
  readonly code = 'DTC_NOT_MANAGED';

  constructor(readonly caller: string) {
    super(
      `${caller} is decorated with @DistributedTransaction, and its object is not managed by a coordinator. Let Nest ` +
        'make it: a provider or controller of default scope in an application that imports CoordinatorModule, and call it ' +
        'once that is initialised.',
    );
  }
}

/** A method that cannot be run in a transaction: the application does not start. @publicApi */
export class InvalidMethodError extends CoordinatorError {
  readonly code = 'DTC_INVALID_METHOD';

  constructor(
    readonly method: string,
    problem: string,
    remedy: string,
  ) {
    super(`${method} cannot be a @DistributedTransaction: ${problem}. ${remedy}`);
  }
}

function wordsOf(outcome: NotCommittedError['outcome']): string {
  if (outcome.status !== 'heuristic') return `${outcome.status}: ${outcome.reason}`;
  const names = outcome.reports.map(({ participant }) => participant).join(', ');
  return `heuristic: ${outcome.decision} is decided, and ${names} ended otherwise, or may have`;
}
