/** The statements that the outboxes of all databases have. They name the tables with their place. */
export interface OutboxStatements {
  /** Positions of due messages without a key. Takes a limit. */
  readonly free: string;
  /** The first waiting message of the next keys. Takes the key before them. */
  readonly heads: string;
  readonly count: string;
  /** Takes how long messages that were sent are kept, in milliseconds. */
  readonly purge: string;
  /** Takes the position before them, and a limit. */
  readonly listDead: string;
  /** Takes an id. */
  readonly findDead: string;
  /** The keys of dead messages. Takes a list of ids, as the next ones do. */
  readonly deadKeys: string;
  readonly discard: string;
}

/** How long a key may be unused before its row is deleted, in SQL. */
export const KEY_IDLE = '1 HOUR';
