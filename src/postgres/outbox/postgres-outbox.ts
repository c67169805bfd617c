import { type ClientConfig, Pool, type PoolClient, type QueryConfig } from 'pg';
import { SafeLogger } from '../../coordinator/gate/safe-logger.js';
import type { MessageRow } from '../../outbox/message.js';
import type { AttemptResult, RecordedAttempt } from '../../outbox/store.js';
import { type OutboxStoreOptions, storeOptionsOf } from '../../outbox/store-options.js';
import { type MessageText, SqlOutbox } from '../../sql/outbox.js';
import { ConnectionPool } from '../connection/connection-pool.js';
import { OwnClient } from '../connection/own-client.js';
import { type TextRow, rowsOf } from '../connection/own-queries.js';
import { codeOf } from '../sqlstate.js';
import { type PostgresOutboxStatements, statementsIn } from './statements.js';
import { OutboxTables } from './tables.js';

/** The options of {@link PostgresOutbox}. @publicApi */
export interface PostgresOutboxOptions extends OutboxStoreOptions {
  /** The database of the participant, as a URL or as `pg` takes it. */
  readonly connection: string | ClientConfig;
  /** The schema of the tables. @default the first of the search path */
  readonly schema?: string | undefined;
}

const SCHEMA = /^[a-z_][a-z0-9_]{0,62}$/;
const LOCK_NOT_AVAILABLE = '55P03';
/** How long a message that is sent again waits for its key, in milliseconds. */
const LOCK_WAIT_MS = 500;

/**
 * Messages that are sent if and only if their transaction commits: the work of a branch writes them into the PostgreSQL database
 * of its participant, in the tables `dtc_outbox` and `dtc_outbox_keys`, and the relay of `OutboxModule` sends them.
 *
 * @example
 * ```ts
 * protected async work(client: PoolClient, branch: Branch<Order>): Promise<Vote> {
 *   await client.query('INSERT INTO orders VALUES ($1)', [branch.payload.id]);
 *   await this.outbox.add(client, branch, { topic: 'order.created', key: branch.payload.customerId, payload: branch.payload });
 *   return 'commit';
 * }
 * ```
 * @publicApi
 */
export class PostgresOutbox extends SqlOutbox<PoolClient, QueryConfig, PoolClient, PostgresOutboxStatements> {
  /** @internal */
  protected readonly sessions: ConnectionPool;
  private readonly tables: OutboxTables;
  private readonly lockWaitMs: number;

  /** Opens no connection yet. @throws InvalidOptionsError when an option is impossible. */
  constructor({ schema, ...options }: PostgresOutboxOptions) {
    const problems =
      schema === undefined || SCHEMA.test(schema) ? [] : ['schema: must be a plain schema name'];
    const resolved = storeOptionsOf('PostgresOutbox', options, problems);
    super('PostgreSQL', resolved);
    const { connection } = options;
    this.lockWaitMs = Math.max(1, Math.floor(resolved.statementTimeoutMs / 2));
    this.tables = new OutboxTables(schema);
    const pool = new Pool({
      application_name: 'dtc outbox',
      keepAlive: true,
      ...(typeof connection === 'string' ? { connectionString: connection } : connection),
      max: resolved.connections,
      connectionTimeoutMillis: resolved.statementTimeoutMs,
      Client: OwnClient,
    });
    this.sessions = new ConnectionPool(pool, new SafeLogger('PostgreSQL'));
  }

  get definition(): string {
    return this.tables.definition;
  }

  /** @internal */
  protected execute(client: PoolClient, statement: QueryConfig): Promise<unknown> {
    return client.query(statement);
  }

  /** @internal */
  protected insertsOf(
    { add, addWithKey }: PostgresOutboxStatements,
    { id, topic, key, payload, transactionId }: MessageRow,
  ): QueryConfig[] {
    return [{ text: key === null ? add : addWithKey, values: [id, topic, key, payload, transactionId] }];
  }

  /** @internal */
  protected configure(client: PoolClient, statementTimeoutMs: number): Promise<unknown> {
    return client.query(
      "SET default_transaction_isolation = 'read committed'; SET lock_timeout = 0; " +
        `SET statement_timeout = ${statementTimeoutMs}`,
    );
  }

  /** @internal */
  protected async prepare(client: PoolClient, createTables: boolean): Promise<PostgresOutboxStatements> {
    return statementsIn(await this.tables.prepare(client, createTables));
  }

  /** @internal */
  protected rows<R extends TextRow>(
    client: PoolClient,
    sql: string,
    values?: readonly unknown[],
    name?: string,
  ): Promise<R[]> {
    return rowsOf<R>(client, sql, values, name && `dtc ${name}`);
  }

  /** @internal */
  protected async change(client: PoolClient, sql: string, values: readonly unknown[]): Promise<number> {
    return (await client.query(sql, [...values])).rowCount ?? 0;
  }

  /** @internal */
  protected take(
    client: PoolClient,
    { take }: PostgresOutboxStatements,
    positions: readonly string[],
    leaseMs: number,
  ): Promise<MessageText[]> {
    return this.rows(client, take, [positions, leaseMs], 'take');
  }

  /** @internal */
  protected async keep(
    client: PoolClient,
    statements: PostgresOutboxStatements,
    sent: readonly number[],
    others: readonly RecordedAttempt[],
  ): Promise<void> {
    if (sent.length > 0) await client.query(statements.sent, [sent]);
    if (others.length > 0) await client.query(statements.notSent, columnsOf(others));
  }

  /** @internal */
  protected purgeKeys(client: PoolClient, { purgeKeys }: PostgresOutboxStatements): Promise<number> {
    return this.change(client, purgeKeys, []);
  }

  /** @internal */
  protected requeueFree(
    client: PoolClient,
    { requeueFree }: PostgresOutboxStatements,
    ids: readonly string[],
  ): Promise<number> {
    return this.change(client, requeueFree, [ids]);
  }

  /** @internal */
  protected async requeueOf(
    client: PoolClient,
    { lockKey, requeueKeyed }: PostgresOutboxStatements,
    key: string,
    ids: readonly string[],
  ): Promise<number> {
    // Before the statement as a whole is out of time, so that a lock that is held is no failure.
    await client.query(`BEGIN; SET LOCAL lock_timeout = ${Math.min(LOCK_WAIT_MS, this.lockWaitMs)}`);
    try {
      await client.query(lockKey, [key]);
      const done = await this.change(client, requeueKeyed, [ids, key]);
      await client.query('COMMIT');
      return done;
    } catch (error) {
      // The first error says what is wrong. A session that is still in the transaction is not used again.
      await client.query('ROLLBACK').catch(() => {});
      if (codeOf(error) === LOCK_NOT_AVAILABLE) return 0;
      throw error;
    }
  }
}

function errorOf(result: AttemptResult): string | null {
  return 'error' in result ? result.error : null;
}

/** @returns the values for the statement `notSent`, one list for each column. */
function columnsOf(attempts: readonly RecordedAttempt[]): unknown[] {
  return [
    attempts.map(({ position }) => position),
    attempts.map(({ attempt }) => attempt),
    attempts.map(({ result }) => result.kind === 'dead'),
    attempts.map(({ result }) => (result.kind === 'interrupted' ? 1 : 0)),
    attempts.map(({ result }) => (result.kind === 'failed' ? result.retryInMs : 0)),
    attempts.map(({ result }) => errorOf(result)),
  ];
}
