/**
 * The stable codes of errors that stop the start of an application with MariaDB participants.
 *
 * @publicApi
 */
export type MariaDbStartUpErrorCode =
  /** No connection, or no answer in time. */
  | 'DTC_MARIADB_UNREACHABLE'
  /** The server is too old. */
  | 'DTC_MARIADB_VERSION'
  /** A replica, or a server that accepts no writes. */
  | 'DTC_MARIADB_READ_ONLY'
  /**
   * The server has no XA transactions, as a member of a Galera cluster, or cannot replicate them: its binary
   * log has statements.
   */
  | 'DTC_MARIADB_XA_UNSUPPORTED'
  /** The connection names no database. */
  | 'DTC_MARIADB_NO_DATABASE'
  /** The guard table is missing, is another table, or is not durable or safe enough. */
  | 'DTC_MARIADB_GUARD_TABLE'
  /** The user lacks privileges on a table of the library, or may not list prepared branches. */
  | 'DTC_MARIADB_PRIVILEGES'
  /** Another process works in the database under the name of this coordinator. */
  | 'DTC_MARIADB_COORDINATOR_IN_USE'
  /** Branches were prepared in the database under another decision log of this coordinator's name. */
  | 'DTC_MARIADB_OTHER_LOG'
  /** The decision log is a copy of the one that has worked in the database, or was restored from a backup. */
  | 'DTC_LOG_COPIED'
  /** The tables of the runs are missing, or are other tables. */
  | 'DTC_MARIADB_RUN_TABLE';

/**
 * The database cannot be used for two-phase commit in its present state: the application does not start.
 *
 * @publicApi
 */
export class MariaDbStartUpError extends Error {
  /**
   * @param participant the name of the participant.
   * @param problem the cause.
   * @param remedy what to do: a sentence, or the command.
   */
  constructor(
    readonly code: MariaDbStartUpErrorCode,
    readonly participant: string,
    problem: string,
    readonly remedy: string,
    options?: ErrorOptions,
  ) {
    super(`"${participant}" cannot use its MariaDB database: ${problem}. ${remedy}`, options);
    this.name = 'MariaDbStartUpError';
  }
}

/** The stable codes of errors of one branch. @publicApi */
export type MariaDbBranchErrorCode =
  /** The ids of the branch do not fit into the two parts of an XA id. */
  | 'DTC_MARIADB_INVALID_XID'
  /**
   * The work sent a statement that begins or ends a transaction. The statement was not run, unless the
   * message says that the work has committed its transaction itself.
   */
  | 'DTC_MARIADB_TRANSACTION_CONTROL'
  /** The work goes on using its connection after it has voted. */
  | 'DTC_MARIADB_WORK_OVER'
  /** Commit or rollback failed; it is tried again. */
  | 'DTC_MARIADB_COMPLETION_FAILED'
  /** The session that has prepared the branch still holds it, so no other session can end it yet. */
  | 'DTC_MARIADB_BRANCH_HELD'
  /** The participant does not know its registered name. */
  | 'DTC_MARIADB_NO_NAME';

/** One branch could not be prepared or completed. @publicApi */
export class MariaDbBranchError extends Error {
  /** @param errno the number from the database, if there is one. */
  constructor(
    readonly code: MariaDbBranchErrorCode,
    message: string,
    readonly errno?: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'MariaDbBranchError';
  }
}
