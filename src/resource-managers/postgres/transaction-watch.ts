import type { PoolClient } from 'pg';

/** What the server says when a transaction has ended; none of them is said of anything else. */
const ENDED: ReadonlySet<string> = new Set(['COMMIT', 'PREPARE TRANSACTION']);

/** What it says when one may have: going back to a savepoint is a `ROLLBACK` too, and a second `BEGIN` may change nothing. */
const DOUBTFUL: ReadonlySet<string> = new Set(['ROLLBACK', 'BEGIN', 'START TRANSACTION']);

/**
 * Watches whether the work of a branch ends the transaction that was begun for it. That another one is open afterwards hides
 * it from the status of the connection; but each statement is answered with a tag, however it was sent, and that costs
 * nothing to look at.
 */
export class TransactionWatch {
  private readonly tags: string[] = [];
  private readonly onTag = ({ text }: { text: string }): void => {
    if (ENDED.has(text) || DOUBTFUL.has(text)) this.tags.push(text);
  };

  /** Begin it before the transaction is: the first tag is that of its own BEGIN. */
  constructor(private readonly client: PoolClient) {
    client.connection.on('commandComplete', this.onTag);
  }

  stop(): void {
    this.client.connection.off('commandComplete', this.onTag);
  }

  /** Whether the transaction has ended, for certain. */
  get hasEnded(): boolean {
    return this.tags.some((tag) => ENDED.has(tag));
  }

  /** Whether it may have. */
  get isDoubtful(): boolean {
    return this.tags.length > 1;
  }

  /** Whether it may have before its own end, which is the last tag. */
  get wasDoubtfulBeforeEnd(): boolean {
    return this.tags.length > 2;
  }
}
