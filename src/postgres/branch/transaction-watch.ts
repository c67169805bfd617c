import type { PoolClient, QueryResult } from 'pg';

/** What a result says when a transaction has ended; no result of anything else says it. */
const ENDED = 'COMMIT';

/**
 * What it says when one may have: to go back to a savepoint is a `ROLLBACK` too, a second `BEGIN` may change nothing, and
 * `PREPARE` may make a statement or a prepared transaction.
 */
const DOUBTFUL: ReadonlySet<string> = new Set(['ROLLBACK', 'BEGIN', 'START', 'PREPARE']);

/**
 * What it says when the statements that are prepared in the session are others than before, or code was loaded into it. Both
 * outlive the transaction, and neither can be undone for certain.
 */
const SPOILING: ReadonlySet<string> = new Set(['PREPARE', 'DEALLOCATE', 'DISCARD', 'LOAD']);

/** The words of a text that may end a transaction. `ROLLBACK TO SAVEPOINT` has one too. */
const MAY_END = /\b(?:rollback|commit|begin|start\s+transaction|end|abort|prepare\s+transaction)\b/i;

/** Whether a text may end the transaction in which it is run, or only looks like it. */
export function mayEnd(text: string): boolean {
  return MAY_END.test(text);
}

/** A text that is one statement which begins or ends a transaction, as an ORM sends it for a transaction of its own. */
const CONTROL =
  /^\s*(?:begin|start\s+transaction|commit|end|abort|prepare\s+transaction|rollback(?!\s+(?:(?:work|transaction)\s+)?to\b))\b[^;]*;?\s*$/i;

/** Whether a text is one statement that begins or ends a transaction. To go back to a savepoint is neither. */
export function controlsTransaction(text: string): boolean {
  return CONTROL.test(text);
}

/**
 * What the results say with which the server answers the work of a branch: whether it has ended the transaction that was
 * begun for it. That another one is open afterwards hides it from the status of the connection.
 */
export class TransactionWatch {
  private ended = false;
  private doubtful = false;
  private spoils = false;

  constructor(private readonly client: PoolClient) {}

  /** To be told of each answer, as soon as it is there. @param answer a result, or a list of them. */
  readonly see = (answer: unknown): void => {
    const answers = Array.isArray(answer) ? (answer as unknown[]) : [answer];
    for (const one of answers) {
      const { command } = (one ?? {}) as Partial<QueryResult>;
      // Without a command it is nothing that `pg` has made.
      if (typeof command !== 'string') continue;
      if (command === ENDED) this.ended = true;
      if (DOUBTFUL.has(command)) this.doubtful = true;
      if (SPOILING.has(command)) this.spoils = true;
    }
    // Without a transaction, what the work sends is committed at once, and no command says so.
    if (this.client.getTransactionStatus() === 'I') this.ended = true;
  };

  /**
   * To be told of each answer that says nothing of what was done.
   *
   * @param text of the query, as far as it is known.
   */
  readonly seeNothing = (text: string | undefined): void => {
    if (text === undefined || mayEnd(text)) this.doubtful = true;
  };

  /** Whether the session is not to be used by another branch. */
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
