import type { PoolClient } from 'pg';
import { spoil } from '../connection/spoiled.js';

/** What the server says when a transaction has ended; none of them is said of anything else. */
const ENDED: ReadonlySet<string> = new Set(['COMMIT', 'PREPARE TRANSACTION']);

/** What it says when one may have: going back to a savepoint is a `ROLLBACK` too, and a second `BEGIN` may change nothing. */
const DOUBTFUL: ReadonlySet<string> = new Set(['ROLLBACK', 'BEGIN', 'START TRANSACTION']);

/**
 * What it says when the statements that are prepared in the session are others than before, or code was loaded into it. Both
 * outlive the transaction, and neither can be undone for certain.
 */
const SPOILING: ReadonlySet<string> = new Set([
  'PREPARE',
  'DEALLOCATE',
  'DEALLOCATE ALL',
  'DISCARD ALL',
  'LOAD',
]);

/**
 * What the tags say with which the server answers the statements of a branch: whether its work has ended the transaction
 * that was begun for it. That another one is open afterwards hides it from the status of the connection.
 */
export class TransactionTags {
  private readonly tags: string[] = [];
  private spoils = false;
  private wasIdle = false;

  /** To be told of each tag from the start of the transaction on. */
  see(tag: string): void {
    if (ENDED.has(tag) || DOUBTFUL.has(tag)) this.tags.push(tag);
    // What comes before BEGIN is our own.
    else if (this.tags.length > 0 && SPOILING.has(tag)) this.spoils = true;
  }

  /**
   * To be told of the state of the transaction after each message: without a transaction, what the work sends is committed at
   * once, and no tag says so.
   */
  seeState(state: string): void {
    if (state === 'I' && this.tags.length > 0) this.wasIdle = true;
  }

  /** Whether the session is not to be used by another branch. */
  get isSpoiling(): boolean {
    return this.spoils;
  }

  /** Whether the transaction has ended, for certain. */
  get hasEnded(): boolean {
    return this.wasIdle || this.tags.some((tag) => ENDED.has(tag));
  }

  /** Whether it may have. */
  get isDoubtful(): boolean {
    return this.tags.length > 1;
  }
}

/** Sees the tags of whatever is sent on a connection, however that is done: it costs nothing to look at them. */
export class TransactionWatch extends TransactionTags {
  private readonly onTag = ({ text }: { text: string }): void => this.see(text);
  private readonly onState = ({ status }: { status: string }): void => this.seeState(status);

  /** Start it before the transaction: the first tag is that of its own BEGIN. */
  constructor(private readonly client: PoolClient) {
    super();
    client.connection.on('commandComplete', this.onTag);
    client.connection.on('readyForQuery', this.onState);
  }

  /** From now on nothing is seen. */
  stop(): void {
    this.client.connection.off('commandComplete', this.onTag);
    this.client.connection.off('readyForQuery', this.onState);
    if (this.isSpoiling) spoil(this.client);
  }
}
