/**
 * The stable codes of errors that stop the start of an application with PostgreSQL participants.
 *
 * @publicApi
 */
export type PostgresStartUpErrorCode =
  /** No connection, or no answer in time. */
  | 'DTC_POSTGRES_UNREACHABLE'
  /** The server is too old. */
  | 'DTC_POSTGRES_VERSION'
  /** A standby, or a server that accepts no writes. */
  | 'DTC_POSTGRES_READ_ONLY'
  /** `max_prepared_transactions` is 0. */
  | 'DTC_POSTGRES_PREPARED_TRANSACTIONS_OFF'
  /** The guard table is missing, is another table, or is not durable or safe enough. */
  | 'DTC_POSTGRES_GUARD_TABLE'
  /** The role lacks privileges on the guard table. */
  | 'DTC_POSTGRES_PRIVILEGES'
  /** The two pools lead to different databases, log in as different roles, or see different guard tables. */
  | 'DTC_POSTGRES_POOLS_DIFFER'
  /** Another process works in the database under the name of this coordinator. */
  | 'DTC_POSTGRES_COORDINATOR_IN_USE'
  /** Branches were prepared in the database under another decision log of this coordinator's name. */
  | 'DTC_POSTGRES_OTHER_LOG'
  /** The decision log is a copy of the one that has worked in the database, or was restored from a backup. */
  | 'DTC_LOG_COPIED'
  /** The table of the runs is missing, or is another table. */
  | 'DTC_POSTGRES_RUN_TABLE'
  /** The pool for completion has no connection left besides those that hold the claims. */
  | 'DTC_POSTGRES_POOL_TOO_SMALL'
  /** The participant's own tables could not be created. */
  | 'DTC_POSTGRES_SCHEMA';

/**
 * The database cannot be used for two-phase commit in its present state: the application does not start.
 *
 * @publicApi
 */
export class PostgresStartUpError extends Error {
  /**
   * @param participant the name of the participant.
   * @param problem the cause.
   * @param remedy what to do: a sentence, or the command.
   */
  constructor(
    readonly code: PostgresStartUpErrorCode,
    readonly participant: string,
    problem: string,
    readonly remedy: string,
    options?: ErrorOptions,
  ) {
    super(`"${participant}" cannot use its PostgreSQL database: ${problem}. ${remedy}`, options);
    this.name = 'PostgresStartUpError';
  }
}

/** The stable codes of errors of one branch. @publicApi */
export type PostgresBranchErrorCode =
  /** The ids of the branch do not make a global id. */
  | 'DTC_POSTGRES_INVALID_GID'
  /** The work committed or rolled back its own transaction. */
  | 'DTC_POSTGRES_TRANSACTION_ENDED'
  /** The work sent a statement that begins or ends a transaction. The statement was not run. */
  | 'DTC_POSTGRES_TRANSACTION_CONTROL'
  /** The work goes on using its client after it has voted. */
  | 'DTC_POSTGRES_WORK_OVER'
  /** Commit or rollback failed; it is tried again. */
  | 'DTC_POSTGRES_COMPLETION_FAILED'
  /** It took effect, but the wait for a synchronous standby was interrupted: its result is not known. */
  | 'DTC_POSTGRES_NOT_REPLICATED'
  /** As many given-up sessions are left at the server as there are connections: none is opened for now. */
  | 'DTC_POSTGRES_SESSIONS_LEFT'
  /** The participant does not know its registered name. */
  | 'DTC_POSTGRES_NO_NAME';

/** One branch could not be prepared or completed. @publicApi */
export class PostgresBranchError extends Error {
  /** @param sqlstate the code from the database or the operating system, if there is one. */
  constructor(
    readonly code: PostgresBranchErrorCode,
    message: string,
    readonly sqlstate?: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'PostgresBranchError';
  }
}
