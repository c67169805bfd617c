/** The most prepared transactions, and the most waits, that one inspection lists. */
export const MAX_LISTED = 500;

/**
 * The findings of a participant in its database, for an operator: see `TransactionParticipant.inspect`.
 *
 * @publicApi
 */
export interface DatabaseInspection {
  /**
   * Identifies what was looked at: the same text for participants that see the same prepared transactions. An
   * operator sees them once then.
   */
  readonly place: string;
  /** The name of the database for people, such as `PostgreSQL 18.1, database "shop"`. */
  readonly title: string;
  /** The prepared transactions of all programs, the oldest first as far as that is known: at most 500. */
  readonly prepared: readonly PreparedTransaction[];
  /** The number of all of them. */
  readonly preparedTotal: number;
  /** The sessions that wait for a lock, those that wait longest first: at most 500. */
  readonly waits: readonly LockWait[];
  /** The number of all of them. */
  readonly waitsTotal: number;
  /** The parts that could not be seen, for people, and the right that is missing. Empty if all was seen. */
  readonly notes: readonly string[];
}

/** One prepared transaction as a database lists it. @publicApi */
export interface PreparedTransaction {
  /** Its global id. Other programs may put any characters in it. */
  readonly id: string;
  /** The branch whose global id it is; null for one of another program. */
  readonly branch: {
    readonly transactionId: string;
    readonly participant: string;
    readonly branchId: string;
  } | null;
  /** How long it is prepared, or at work, in milliseconds; null where the database does not say. */
  readonly ageMs: number | null;
  /** The role or user that has prepared it; null where the database does not say. */
  readonly owner: string | null;
  readonly database: string | null;
  /** The session that still holds it; null if none does, so that any session may end it. */
  readonly session: number | null;
  /** The statements that end it; null where no safe text can be made of its id. */
  readonly statements: {
    readonly commit: string;
    readonly rollback: string;
    /** The user that must run them, and where, for people. */
    readonly how: string;
  } | null;
}

/** A session of a database. @publicApi */
export interface DatabaseSession {
  /** Its number at the server. */
  readonly id: number;
  readonly user: string | null;
  /** The name that the program has given it; null where there is none, or it may not be seen. */
  readonly application: string | null;
  /** The present statement; null where it may not be seen. */
  readonly state: string | null;
}

/** A session that waits for a lock, and what it waits for. @publicApi */
export interface LockWait {
  readonly session: DatabaseSession;
  /** In milliseconds; null where the database does not say. */
  readonly waitMs: number | null;
  /** The lock that it waits for, for people, such as `AccessExclusiveLock on table accounts`. */
  readonly lock: string;
  readonly blockedBy: readonly LockHolder[];
}

/**
 * A session or transaction that holds a lock, or is before the waiting session in the queue for it.
 *
 * @publicApi
 */
export interface LockHolder {
  /** Null for a prepared transaction that has no session any more. */
  readonly session: DatabaseSession | null;
  /**
   * The id of the prepared transaction. Null for a session without one, and where the database does not say
   * which it is.
   */
  readonly prepared: string | null;
}
