import { CoordinatorError } from '../errors.js';
import type { AbortedOutcome, CommittedOutcome, HeuristicOutcome, PendingOutcome } from '../outcome.js';

/**
 * A method decorated with `@DistributedTransaction` has returned, and its transaction is not committed. The
 * outcome tells what is known: `aborted` means that nothing was changed, `pending` and `heuristic` do not.
 * Code that gets the outcome as a value, from `run` or `commit`, can throw this error itself. The filters of
 * `nestjs-dtc/problem` answer it.
 *
 * @publicApi
 */
export class NotCommittedError extends Error {
  readonly code = 'DTC_NOT_COMMITTED';
  readonly transactionId: string;

  /** @param options the cause: the error of a participant, or of a method that had joined. */
  constructor(
    readonly outcome: AbortedOutcome | PendingOutcome | HeuristicOutcome,
    options?: ErrorOptions,
  ) {
    super(
      `The transaction ${outcome.transactionId} is not committed but ${wordsOf(outcome)}. ${REMEDIES[outcome.status]}`,
      options,
    );
    this.name = 'NotCommittedError';
    this.transactionId = outcome.transactionId;
  }
}

/**
 * A method decorated with `@DistributedTransaction` has thrown an error after it had requested commit itself,
 * and is committed. The cause is its error.
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
    super(
      `${caller} failed after its transaction ${transactionId} was committed: the changes stay. Do not repeat the call. The ` +
        'cause is the error of the method.',
      { cause },
    );
    this.name = 'FailedAfterCommitError';
  }
}

/**
 * A decorated method was called again with the `key` of an earlier call that has committed. It was not run
 * again: the changes of the first call stay. The option `repeated` of the decorator gives a value instead of
 * this error.
 *
 * @publicApi
 */
export class RepeatedCallError extends Error {
  readonly code = 'DTC_REPEATED';
  readonly transactionId: string;

  /**
   * @param caller the method.
   * @param outcome of the transaction of the first call.
   */
  constructor(
    readonly caller: string,
    readonly outcome: CommittedOutcome,
  ) {
    super(
      `${caller} was called before with this key, and its transaction ${outcome.transactionId} has committed, so it was not run again. ` +
        'The changes of the first call stay. Give the option repeated to return a value instead.',
    );
    this.name = 'RepeatedCallError';
    this.transactionId = outcome.transactionId;
  }
}

/** A method with the propagation `never` was called within a transaction. @publicApi */
export class InTransactionError extends CoordinatorError {
  readonly code = 'DTC_IN_TRANSACTION';

  constructor(
    readonly caller: string,
    readonly transactionId: string,
  ) {
    super(
      `${caller} must not run within a transaction, but was called within ${transactionId}, so it was not run. Call it outside, or ` +
        'change its propagation.',
    );
  }
}

/**
 * A decorated method was called on an object that no application with a coordinator has created. @publicApi
 */
export class NotManagedError extends CoordinatorError {
  readonly code = 'DTC_NOT_MANAGED';

  constructor(readonly caller: string) {
    super(
      `${caller} is decorated with @DistributedTransaction, but no coordinator manages its object. Let Nest ` +
        'create it: a provider or controller of default scope in an application that imports CoordinatorModule. Call it ' +
        'only after the application has been initialised.',
    );
  }
}

/** A method that cannot run in a transaction: the application does not start. @publicApi */
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

/** What the caller of a decorated method should do next, by the outcome. */
const REMEDIES: Readonly<Record<NotCommittedError['outcome']['status'], string>> = {
  aborted: 'Nothing was changed: the call can be repeated once its cause is gone.',
  pending: 'It may be committed: do not repeat the call, and ask for the outcome by the id.',
  heuristic: 'A participant may have done something else: do not repeat the call, and look at the reports.',
};

function wordsOf(outcome: NotCommittedError['outcome']): string {
  if (outcome.status !== 'heuristic') return `${outcome.status}: ${outcome.reason}`;
  const names = outcome.reports.map(({ participant }) => participant).join(', ');
  return `heuristic: ${outcome.decision} is decided, but ${names} ended otherwise, or may have`;
}
