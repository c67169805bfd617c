/** The reason of a signal whose prepare nobody waits for any more: the transaction is aborted. @publicApi */
export class TransactionAbortedError extends Error {
  readonly code = 'DTC_ABORTED';

  constructor(readonly transactionId: string) {
    super(`The transaction ${transactionId} is aborted: stop preparing and free what is held.`);
    this.name = 'TransactionAbortedError';
  }
}

/** The reason of a signal whose completion attempt nobody waits for any more. @publicApi */
export class AttemptAbandonedError extends Error {
  readonly code = 'DTC_ATTEMPT_ABANDONED';

  constructor() {
    super('Nobody waits for this attempt any more: it took too long, or another one was answered.');
    this.name = 'AttemptAbandonedError';
  }
}
