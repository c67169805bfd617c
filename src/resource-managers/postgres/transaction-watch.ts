import type { PoolClient } from 'pg';
import { forgetSettings, forgetStatements } from './branch-session.js';

/** What the server says when a transaction has ended; none of them is said of anything else. */
const ENDED: ReadonlySet<string> = new Set(['COMMIT', 'PREPARE TRANSACTION']);

/** What it says when one may have: going back to a savepoint is a `ROLLBACK` too, and a second `BEGIN` may change nothing. */
const DOUBTFUL: ReadonlySet<string> = new Set(['ROLLBACK', 'BEGIN', 'START TRANSACTION']);

/** What it says when something was set for the session, or for the transaction only, or may have been. */
const SETTING: ReadonlySet<string> = new Set(['SET', 'RESET', 'DO', 'CALL']);

/** What it says when the statements that were prepared in the session are gone. */
const DROPPING: ReadonlySet<string> = new Set(['DEALLOCATE ALL', 'DISCARD ALL']);

/**
 * What the tags say with which the server answers the statements of a branch: whether its work has ended the transaction
 * that was begun for it. That another one is open afterwards hides it from the status of the connection.
 */
export class TransactionTags {
  private hasSet = false;
  private hasDropped = false;
  private readonly tags: string[] = [];

  /** To be told of each tag from the begin of the transaction on. */
  see(tag: string): void {
    if (ENDED.has(tag) || DOUBTFUL.has(tag)) this.tags.push(tag);
    // What comes before BEGIN is our own.
    else if (this.tags.length > 0) {
      this.hasSet ||= SETTING.has(tag);
      this.hasDropped ||= DROPPING.has(tag);
    }
  }

  /** Forgets of the session what is not known any more. */
  forget(client: PoolClient): void {
    if (this.hasDropped) forgetStatements(client);
    else if (this.hasSet) forgetSettings(client);
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

/** Sees the tags of whatever is sent on a connection, however that is done: it costs nothing to look at them. */
export class TransactionWatch extends TransactionTags {
  private readonly onTag = ({ text }: { text: string }): void => this.see(text);

  /** Begin it before the transaction is: the first tag is that of its own BEGIN. */
  constructor(private readonly client: PoolClient) {
    super();
    client.connection.on('commandComplete', this.onTag);
  }

  /** From now on nothing is seen; of the session is forgotten what is not known any more. */
  stop(): void {
    this.client.connection.off('commandComplete', this.onTag);
    this.forget(this.client);
  }
}
