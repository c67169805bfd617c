import type { PoolClient, QueryResult } from 'pg';

/** The commands of results that end a transaction. No other result has them. */
const ENDED = 'COMMIT';

/**
 * The commands of results that may end one: going back to a savepoint is a `ROLLBACK` too, a second `BEGIN`
 * may change nothing, and `PREPARE` may make a statement or a prepared transaction.
 */
const DOUBTFUL: ReadonlySet<string> = new Set(['ROLLBACK', 'BEGIN', 'START', 'PREPARE']);

/**
 * The commands of results that change the prepared statements of the session, or load code into it. Both
 * outlive the transaction, and neither can be undone for certain.
 */
const SPOILING: ReadonlySet<string> = new Set(['PREPARE', 'DEALLOCATE', 'DISCARD', 'LOAD']);

/** The words of a text that may end a transaction. `ROLLBACK TO SAVEPOINT` has one too. */
const MAY_END = /\b(?:rollback|commit|begin|start\s+transaction|end|abort|prepare\s+transaction)\b/i;

/** Whether a text may end its transaction, or only looks like it. */
export function mayEnd(text: string): boolean {
  return MAY_END.test(text);
}

/**
 * A text that is one statement which begins or ends a transaction, as an ORM sends it for a transaction of
 * its own.
 */
const CONTROL =
  /^\s*(?:begin|start\s+transaction|commit|end|abort|prepare\s+transaction|rollback(?!\s+(?:(?:work|transaction)\s+)?to\b))\b[^;]*;?\s*$/i;

/**
 * Whether a text is one statement that begins or ends a transaction. To go back to a savepoint is neither.
 */
export function controlsTransaction(text: string): boolean {
  return CONTROL.test(text);
}

/**
 * Watches the results of a branch's work: whether it has ended the transaction that was begun for it. If
 * another transaction is open afterwards, the status of the connection hides that.
 */
export class TransactionWatch {
  private ended = false;
  private doubtful = false;
  private spoils = false;

  constructor(private readonly client: PoolClient) {}

  /** Called with each answer as soon as it arrives. @param answer a result, or a list of results. */
  readonly see = (answer: unknown): void => {
    const answers = Array.isArray(answer) ? (answer as unknown[]) : [answer];
    for (const one of answers) {
      const { command } = (one ?? {}) as Partial<QueryResult>;
      // A value without a command was not made by `pg`.
      if (typeof command !== 'string') continue;
      if (command === ENDED) this.ended = true;
      if (DOUBTFUL.has(command)) this.doubtful = true;
      if (SPOILING.has(command)) this.spoils = true;
    }
    // Without a transaction, each statement of the work is committed at once, and no command shows that.
    if (this.client.getTransactionStatus() === 'I') this.ended = true;
  };

  /**
   * Called with each answer that does not show its command.
   *
   * @param text of the query, as far as it is known.
   */
  readonly seeNothing = (text: string | undefined): void => {
    if (text === undefined || mayEnd(text)) this.doubtful = true;
  };

  /** Whether no other branch may use the session. */
  get isSpoiling(): boolean {
    return this.spoils;
  }

  /** Whether the transaction has ended, for certain. */
  get hasEnded(): boolean {
    return this.ended;
  }

  /** Whether it may have. */
  get isDoubtful(): boolean {
    return this.doubtful;
  }
}
