import { Client, type PoolClient, Query, type QueryResult } from 'pg';

/**
 * The query that opens the transaction of a branch and writes its guard row. It leaves with the first
 * statement of the work, in one query if that statement is prepared already: an answer of its own would cost
 * both sides more than the statement.
 */
export class Opening {
  /**
   * Resolved when the transaction is open and has its guard row. Rejected with the error that prevents it:
   * then no statement of the same query has run.
   */
  readonly begun: Promise<void>;
  private readonly resolve: () => void;
  private readonly reject: (error: unknown) => void;
  private isSent = false;

  /** @param statements of which the last one, for the guard row, is the only one with a row. */
  constructor(
    private readonly client: PoolClient,
    private readonly statements: readonly string[],
  ) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.begun = promise;
    this.resolve = resolve;
    this.reject = reject;
  }

  /** Sends it by itself, unless it was sent before. */
  send(): void {
    if (this.isSent) return;
    this.isSent = true;
    this.client.query(this.statements.join('; ')).then(this.resolve, this.reject);
  }

  /**
   * Sends it together with a statement of the work that has no rows.
   *
   * @returns the result of that statement; undefined if it must be sent by itself.
   */
  sendWith(sql: string): Promise<QueryResult> | undefined {
    const { client } = this;
    // A client of another copy of `pg` does not accept our query.
    if (this.isSent || !(client instanceof Client)) return undefined;
    this.isSent = true;
    return new Promise((resolve, reject) => {
      let hasBegun = false;
      const text = [...this.statements, sql].join('; ');
      const query = new Query(text, (error: Error | undefined, results: QueryResult | QueryResult[]) => {
        if (!error) {
          this.resolve();
          resolve([results].flat().at(-1)!);
          return;
        }
        if (hasBegun) {
          void this.failed(error, reject);
          return;
        }
        this.reject(error);
        reject(error);
      });
      // The row of the guard comes before any effect of the work.
      query.once('row', () => {
        hasBegun = true;
      });
      client.query(query);
    });
  }

  /**
   * The error of a statement may arrive before the state of the transaction, of which `pg` knows nothing
   * until then. So a query of no statement is answered before the error is told. If its connection is lost,
   * the error is told as well.
   */
  private async failed(reason: Error, reject: (reason: Error) => void): Promise<void> {
    await Promise.allSettled([this.client.query(';')]);
    this.resolve();
    reject(reason);
  }
}
