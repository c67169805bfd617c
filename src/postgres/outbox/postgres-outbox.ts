import { type ClientConfig, Pool, type PoolClient, type QueryConfig } from 'pg';
import { InvalidOptionsError } from '../../coordinator/errors.js';
import { SafeLogger } from '../../coordinator/gate/safe-logger.js';
import { messageOf } from '../../coordinator/gate/texts.js';
import type { Branch } from '../../coordinator/participant/participant.js';
import { DueMessages, type Head } from '../../outbox/due-messages.js';
import { OutboxError } from '../../outbox/errors.js';
import { type NewMessage, rowOf } from '../../outbox/message.js';
import {
  type AttemptResult,
  type ClaimedMessage,
  DELETED_AT_ONCE,
  type DeadMessage,
  type OutboxCounts,
  type OutboxStore,
  type RecordedAttempt,
} from '../../outbox/store.js';
import { notStarted, problemsOfStore } from '../../outbox/store-options.js';
import { ConnectionPool } from '../connection/connection-pool.js';
import { OwnClient } from '../connection/own-client.js';
import { rowsOf } from '../connection/own-queries.js';
import { type OutboxStatements, statementsIn } from './statements.js';
import { OutboxTables } from './tables.js';

/** The options of {@link PostgresOutbox}. @publicApi */
export interface PostgresOutboxOptions {
  /** The database of the participant, as a URL or as `pg` takes it. */
  readonly connection: string | ClientConfig;
  /** The name in metrics and log lines: 1 to 32 characters of a-z, 0-9 and -. @default 'outbox' */
  readonly name?: string | undefined;
  /** The schema of the tables. @default the first of the search path */
  readonly schema?: string | undefined;
  /** Whether the start creates missing tables. @default true */
  readonly createTables?: boolean | undefined;
  /** The most connections of the relay. @default 2 */
  readonly connections?: number | undefined;
  /** How long a statement of the relay may take, in milliseconds. @default 5_000 */
  readonly statementTimeoutMs?: number | undefined;
  /** The most bytes of a payload as JSON. From 1 to 1_048_576. @default 262_144 */
  readonly maxPayloadBytes?: number | undefined;
}

const SCHEMA = /^[a-z_][a-z0-9_]{0,62}$/;

type MessageText = {
  readonly position: string;
  readonly id: string;
  readonly topic: string;
  readonly key: string | null;
  readonly payload: string;
  readonly transaction_id: string;
  readonly attempts: string;
  readonly written_at: string;
};

type HeadText = { readonly key: string; readonly position: string; readonly is_due: string };

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
export class PostgresOutbox implements OutboxStore {
  readonly name: string;
  private readonly pool: ConnectionPool;
  private readonly tables: OutboxTables;
  private readonly createTables: boolean;
  private readonly statementTimeoutMs: number;
  private readonly maxPayloadBytes: number;
  private readonly due = new DueMessages();
  private found: OutboxStatements | undefined;
  private closing: Promise<void> | undefined;
  /** The connections whose settings are made. */
  private readonly configured = new WeakSet<PoolClient>();

  /** Opens no connection yet. @throws InvalidOptionsError when an option is impossible. */
  constructor({
    connection,
    name = 'outbox',
    schema,
    createTables = true,
    connections = 2,
    statementTimeoutMs = 5_000,
    maxPayloadBytes = 262_144,
    ...unknown
  }: PostgresOutboxOptions) {
    const problems = problemsOfStore(
      { connection, name, connections, statementTimeoutMs, maxPayloadBytes },
      unknown,
    );
    if (schema !== undefined && !SCHEMA.test(schema)) problems.push('schema: must be a plain schema name');
    if (problems.length > 0) throw new InvalidOptionsError('PostgresOutbox', problems);
    this.name = name;
    this.createTables = createTables;
    this.statementTimeoutMs = statementTimeoutMs;
    this.maxPayloadBytes = maxPayloadBytes;
    this.tables = new OutboxTables(schema);
    const pool = new Pool({
      application_name: 'dtc outbox',
      keepAlive: true,
      ...(typeof connection === 'string' ? { connectionString: connection } : connection),
      max: connections,
      connectionTimeoutMillis: statementTimeoutMs,
      Client: OwnClient,
    });
    this.pool = new ConnectionPool(pool, new SafeLogger('PostgreSQL'));
  }

  /** The SQL that creates the tables, for a role that may not. */
  get definition(): string {
    return this.tables.definition;
  }

  /**
   * Writes messages in the transaction of a branch. Await it before the vote.
   *
   * @param client of the work of the branch.
   * @throws OutboxError when a message cannot be written, and any error of the database: the branch cannot commit then.
   */
  async add(
    client: PoolClient,
    branch: Pick<Branch, 'transactionId'>,
    ...messages: NewMessage[]
  ): Promise<void> {
    for (const statement of this.statements(branch, ...messages)) await client.query(statement);
  }

  /** The same for a batch: add the statements to those of the branch. Each has a result without rows. @throws OutboxError */
  statements(branch: Pick<Branch, 'transactionId'>, ...messages: NewMessage[]): QueryConfig[] {
    const { found } = this;
    if (found === undefined) throw notStarted(this.name);
    return messages.map((message) => {
      const { id, topic, key, payload, transactionId } = rowOf(message, branch, this.maxPayloadBytes);
      return {
        text: key === null ? found.add : found.addWithKey,
        values: [id, topic, key, payload, transactionId],
      };
    });
  }

  async start(): Promise<void> {
    try {
      const schema = await this.onConnection((client) => this.tables.prepare(client, this.createTables));
      this.found ??= statementsIn(schema);
    } catch (error) {
      if (error instanceof OutboxError) throw error;
      throw new OutboxError(
        'DTC_OUTBOX_UNREACHABLE',
        `The outbox "${this.name}" cannot reach its PostgreSQL database, or has no answer after ${this.statementTimeoutMs} ms: ` +
          `${messageOf(error)}. Check the connection string, and that the server is up.`,
        { cause: error },
      );
    }
  }

  async claim(limit: number, leaseMs: number): Promise<readonly ClaimedMessage[]> {
    const rows = await this.run(async (client, { free, heads, take }) => {
      const positions = await this.due.find(limit, {
        free: async (most) =>
          (await rowsOf<{ position: string }>(client, free, [most], 'dtc free')).map(
            ({ position }) => position,
          ),
        heads: async (after) => (await rowsOf<HeadText>(client, heads, [after], 'dtc heads')).map(headFrom),
      });
      return positions.length === 0
        ? []
        : rowsOf<MessageText>(client, take, [positions, leaseMs], 'dtc take');
    });
    return rows.map(claimedFrom);
  }

  async record(attempts: readonly RecordedAttempt[]): Promise<void> {
    const sent = attempts.filter(({ result }) => result.kind === 'sent').map(({ position }) => position);
    const others = attempts.filter(({ result }) => result.kind !== 'sent');
    await this.run(async (client, statements) => {
      if (sent.length > 0) await client.query(statements.sent, [sent]);
      if (others.length > 0) await client.query(statements.notSent, columnsOf(others));
    });
  }

  async count(): Promise<OutboxCounts> {
    const [row] = await this.run((client, { count }) =>
      rowsOf<{ waiting: string; oldest_ms: string; dead: string }>(client, count),
    );
    return { waiting: Number(row!.waiting), oldestMs: Number(row!.oldest_ms), dead: Number(row!.dead) };
  }

  async purge(retainSentMs: number): Promise<boolean> {
    return this.run(async (client, { purge, purgeKeys }) => {
      const { rowCount: messages } = await client.query(purge, [retainSentMs]);
      const { rowCount: keys } = await client.query(purgeKeys);
      return messages === DELETED_AT_ONCE || keys === DELETED_AT_ONCE;
    });
  }

  async listDead(limit: number): Promise<readonly DeadMessage[]> {
    const rows = await this.run((client, { listDead }) =>
      rowsOf<MessageText & { readonly error: string }>(client, listDead, [limit]),
    );
    return rows.map(deadFrom);
  }

  async requeue(ids: readonly string[]): Promise<number> {
    return this.run(async (client, { requeue }) => (await client.query(requeue, [ids])).rowCount ?? 0);
  }

  async discard(ids: readonly string[]): Promise<number> {
    return this.run(async (client, { discard }) => (await client.query(discard, [ids])).rowCount ?? 0);
  }

  close(): Promise<void> {
    this.closing ??= this.pool.close();
    return this.closing;
  }

  private run<T>(task: (client: PoolClient, statements: OutboxStatements) => Promise<T>): Promise<T> {
    const { found } = this;
    if (found === undefined) throw notStarted(this.name);
    return this.onConnection((client) => task(client, found));
  }

  private onConnection<T>(task: (client: PoolClient) => Promise<T>): Promise<T> {
    return this.pool.run(AbortSignal.timeout(this.statementTimeoutMs), async (client) => {
      if (!this.configured.has(client)) {
        await client.query(
          "SET default_transaction_isolation = 'read committed'; SET lock_timeout = 0; " +
            `SET statement_timeout = ${this.statementTimeoutMs}`,
        );
        this.configured.add(client);
      }
      return task(client);
    });
  }
}

function headFrom({ key, position, is_due }: HeadText): Head {
  return { key, position, isDue: is_due === 'true' };
}

function claimedFrom(row: MessageText): ClaimedMessage {
  return { ...messageFrom(row), attempt: Number(row.attempts), json: row.payload };
}

function deadFrom(row: MessageText & { readonly error: string }): DeadMessage {
  return { ...messageFrom(row), attempts: Number(row.attempts), error: row.error };
}

function messageFrom(row: MessageText): Omit<ClaimedMessage, 'attempt' | 'json'> {
  return {
    id: row.id,
    topic: row.topic,
    ...(row.key !== null && { key: row.key }),
    position: Number(row.position),
    transactionId: row.transaction_id,
    writtenAt: row.written_at,
  };
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
