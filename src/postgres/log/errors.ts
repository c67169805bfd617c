/** The stable codes of the errors that stop the start of a decision log on PostgreSQL. @publicApi */
export type PostgresLogErrorCode =
  /** No connection, or no answer in time. */
  | 'DTC_LOG_UNREACHABLE'
  /** The server is too old. */
  | 'DTC_LOG_SERVER_VERSION'
  /** A standby, or a server that takes no writes. */
  | 'DTC_LOG_READ_ONLY'
  /** The tables are missing and cannot be created, or are of another version. */
  | 'DTC_LOG_TABLES'
  /** The role lacks a privilege on the tables. */
  | 'DTC_LOG_PRIVILEGES'
  /** The tables were made in another database, or on another server. */
  | 'DTC_LOG_MOVED';

/**
 * The decision log on PostgreSQL cannot be used in its present state, so the application does not start.
 *
 * @publicApi
 */
export class PostgresLogError extends Error {
  /**
   * @param problem the problem, in words.
   * @param remedy how to fix it: a sentence, or the command.
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
