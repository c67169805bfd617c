/** The calls of the decision log, each of which may be crashed at. */
export type LogStep =
  `log.${'open' | 'append' | 'append of a group' | 'lookUp' | 'progress' | 'end' | 'report' | 'forget' | 'check' | 'close'}`;

/** The kinds of statement that a participant sends. */
export type SqlStep =
  | 'checks'
  | 'BEGIN'
  | 'work'
  | 'work of a group'
  | 'ROLLBACK'
  | 'PREPARE TRANSACTION'
  | 'PREPARE TRANSACTION of a group'
  | 'COMMIT PREPARED'
  | 'ROLLBACK PREPARED'
  | 'tombstone'
  | 'proof'
  | 'list';

/** The calls of the houses that are no resource managers of SQL. */
export type HouseStep = 'last commit' | 'inquire' | 'hold' | 'settle' | 'release';

/** The steps of a message: its row is written, the relay takes it, sends it, and marks it as sent. */
export type MessageStep = 'outbox row' | 'claim' | 'send' | 'mark';

export type Step = LogStep | SqlStep | HouseStep | MessageStep | 'telling' | 'drain' | 'start';

/**
 * Where a process may be killed: before a call has left, while it is under way with its result unknown, or
 * when it has been answered, and the answer is not read yet.
 */
export type PointName = `${'before' | 'during' | 'after'} ${Step}`;

/** Where to kill. */
export interface CrashOrder {
  readonly point: PointName;
  /** The how manieth time one transaction comes by. @default 1 */
  readonly hit?: number;
  /** How many transactions get away before. @default 0 */
  readonly skip?: number;
}

/** Kills its own process at a point. A SIGKILL to oneself takes effect before the next line. */
export class CrashPoints {
  private order: CrashOrder | undefined;
  private escaping = 0;
  private hits = new Map<string, number>();

  arm(order: CrashOrder | undefined): void {
    this.order = order;
    this.escaping = order?.skip ?? 0;
    this.hits = new Map();
  }

  /** @param transactionId the transaction that comes by; none where the step is not of a transaction. */
  reached(point: PointName, transactionId = ''): void {
    if (this.order?.point !== point) return;
    const hits = (this.hits.get(transactionId) ?? 0) + 1;
    this.hits.set(transactionId, hits);
    if (hits === (this.order.hit ?? 1) && this.escaping-- === 0) process.kill(process.pid, 'SIGKILL');
  }

  /**
   * Makes a call, with a point on each side of it, and one in the next turn of the event loop, when it has
   * left.
   */
  async around<T>(step: Step, transactionId: string | undefined, call: () => T | Promise<T>): Promise<T> {
    this.reached(`before ${step}`, transactionId);
    const answer = call();
    setImmediate(() => this.reached(`during ${step}`, transactionId));
    const value = await answer;
    this.reached(`after ${step}`, transactionId);
    return value;
  }
}
