/** The stable codes of the errors of an outbox. @publicApi */
export type OutboxErrorCode =
  /** The work of a branch writes a message that cannot be sent as it is. Nothing was written. */
  | 'DTC_OUTBOX_MESSAGE'
  /** A message is written before the outbox has found its tables, or after it was closed. */
  | 'DTC_OUTBOX_NOT_STARTED'
  /** The tables are missing, are other tables, or may not be used. */
  | 'DTC_OUTBOX_TABLE'
  /** The database cannot be reached, or does not answer in time. */
  | 'DTC_OUTBOX_UNREACHABLE';

/** An outbox cannot be used, or refuses a message. @publicApi */
export class OutboxError extends Error {
  constructor(
    readonly code: OutboxErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'OutboxError';
  }
}
