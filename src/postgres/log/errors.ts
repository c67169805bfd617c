/** The stable codes of what stops the start of a decision log on PostgreSQL. @publicApi */
export type PostgresLogErrorCode =
  /** No connection, or no answer in time. */
  | 'DTC_LOG_UNREACHABLE'
  /** The server is too old. */
  | 'DTC_LOG_SERVER_VERSION'
  /** A standby, or a server that takes no writes. */
  | 'DTC_LOG_READ_ONLY'
  /** The tables are missing and cannot be created, or are of another version. */
  | 'DTC_LOG_TABLES'
  /** The role may not do with the tables what is needed. */
  | 'DTC_LOG_PRIVILEGES'
  /** The tables were made in another database, or on another server. */
  | 'DTC_LOG_MOVED';

/** The decision log on PostgreSQL cannot be used as it is: the application does not start. @publicApi */
export class PostgresLogError extends Error {
  /**
   * @param problem what is wrong.
   * @param remedy what to do: a sentence, or the command.
   */
  constructor(
    readonly code: PostgresLogErrorCode,
    problem: string,
    readonly remedy: string,
    options?: ErrorOptions,
  ) {
    super(`The decision log cannot use its PostgreSQL database: ${problem}. ${remedy}`, options);
    this.name = 'PostgresLogError';
  }
}
