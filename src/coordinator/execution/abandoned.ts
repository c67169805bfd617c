/** The reason of a signal whose prepare nobody waits for any more: the transaction is aborted. @publicApi */
export class TransactionAbortedError extends Error {
  readonly code = 'DTC_ABORTED';

  constructor(readonly transactionId: string) {
    super(`The transaction ${transactionId} is aborted: stop preparing and free what is held.`);
    this.name = 'TransactionAbortedError';
  }
}

/** The reason of a signal whose completion attempt timed out. The decision will be delivered again. @publicApi */
export class AttemptAbandonedError extends Error {
  readonly code = 'DTC_ATTEMPT_ABANDONED';

  constructor() {
    super('This attempt took too long and was given up; the decision will be delivered again.');
    this.name = 'AttemptAbandonedError';
  }
}
