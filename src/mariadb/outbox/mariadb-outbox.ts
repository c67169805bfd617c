import type { Connection, ConnectionOptions } from 'mysql2/promise';
import { InvalidOptionsError } from '../../coordinator/errors.js';
import { messageOf } from '../../coordinator/gate/texts.js';
import type { Branch } from '../../coordinator/participant/participant.js';
import { DueMessages, type Head } from '../../outbox/due-messages.js';
import { OutboxError } from '../../outbox/errors.js';
import { type NewMessage, rowOf } from '../../outbox/message.js';
import {
  type ClaimedMessage,
  DELETED_AT_ONCE,
  type DeadMessage,
  type OutboxCounts,
  type OutboxStore,
  type RecordedAttempt,
} from '../../outbox/store.js';
import { notStarted, problemsOfStore } from '../../outbox/store-options.js';
import type { BatchStatement } from '../branch/batch.js';
import { ConnectionPool } from '../connection/connection-pool.js';
import { configOf } from '../connection/connection-pools.js';
import type { Session } from '../connection/session.js';
import { errnoOf } from '../errno.js';
import { type OutboxStatements, statementsIn } from './statements.js';
import { OUTBOX_TABLES, prepareOutboxTables } from './tables.js';

/** The options of {@link MariaDbOutbox}. @publicApi */
export interface MariaDbOutboxOptions {
  /** The database of the participant, as a URL or as `mysql2` takes it. */
  readonly connection: string | ConnectionOptions;
  /** The name in metrics and log lines: 1 to 32 characters of a-z, 0-9 and -. @default 'outbox' */
  readonly name?: string | undefined;
  /** Whether the start creates missing tables. @default true */
  readonly createTables?: boolean | undefined;
  /** The most connections of the relay. @default 2 */
  readonly connections?: number | undefined;
  /** How long a call of the relay may take, in milliseconds. @default 5_000 */
  readonly statementTimeoutMs?: number | undefined;
  /** The most bytes of a payload as JSON. From 1 to 1_048_576. @default 262_144 */
  readonly maxPayloadBytes?: number | undefined;
}

/** ER_LOCK_DEADLOCK. */
const DEADLOCK = 1213;
const MOST_ATTEMPTS = 5;

interface MessageText {
  readonly position: string;
  readonly id: string;
  readonly topic: string;
  readonly message_key: string | null;
  readonly payload: string;
  readonly transaction_id: string;
  readonly attempts: string;
  readonly written_at: string;
}

interface HeadText {
  readonly message_key: string;
  readonly position: string;
  readonly is_due: string;
}

/**
 * Messages that are sent if and only if their transaction commits: the work of a branch writes them into the MariaDB database of
 * its participant, in the tables `dtc_outbox` and `dtc_outbox_keys`, and the relay of `OutboxModule` sends them.
 *
 * @example
 * ```ts
 * protected async work(connection: Connection, branch: Branch<Order>): Promise<Vote> {
 *   await connection.query('INSERT INTO orders VALUES (?)', [branch.payload.id]);
 *   await this.outbox.add(connection, branch, { topic: 'order.created', key: branch.payload.customerId, payload: branch.payload });
 *   return 'commit';
 * }
 * ```
 * @publicApi
 */
export class MariaDbOutbox implements OutboxStore {
  readonly name: string;
  private readonly pool: ConnectionPool;
  private readonly createTables: boolean;
  private readonly statementTimeoutMs: number;
  private readonly maxPayloadBytes: number;
  private readonly due = new DueMessages();
  private found: OutboxStatements | undefined;
  private closing: Promise<void> | undefined;
  /** The sessions whose settings are made. */
  private readonly configured = new WeakSet<Session>();

  /** Opens no connection yet. @throws InvalidOptionsError when an option is impossible. */
  constructor({
    connection,
    name = 'outbox',
    createTables = true,
    connections = 2,
    statementTimeoutMs = 5_000,
    maxPayloadBytes = 262_144,
    ...unknown
  }: MariaDbOutboxOptions) {
    const problems = problemsOfStore(
      { connection, name, connections, statementTimeoutMs, maxPayloadBytes },
      unknown,
    );
    if (problems.length > 0) throw new InvalidOptionsError('MariaDbOutbox', problems);
    this.name = name;
    this.createTables = createTables;
    this.statementTimeoutMs = statementTimeoutMs;
    this.maxPayloadBytes = maxPayloadBytes;
    this.pool = new ConnectionPool(
      configOf(connection, { connectTimeoutMs: statementTimeoutMs }),
      connections,
    );
  }

  /** The SQL that creates the tables, for a user that may not. */
  get definition(): string {
    return OUTBOX_TABLES.join(';\n');
  }

  /**
   * Writes messages in the transaction of a branch. Await it before the vote.
   *
   * @param connection of the work of the branch.
   * @throws OutboxError when a message cannot be written, and any error of the database: the branch cannot commit then.
   */
  async add(
    connection: Connection,
    branch: Pick<Branch, 'transactionId'>,
    ...messages: NewMessage[]
  ): Promise<void> {
    for (const { sql, values = [] } of this.statements(branch, ...messages)) {
      await connection.query(sql, [...values]);
    }
  }

  /**
   * The same for a batch: add the statements to those of the branch. A message with a key has two. Each has a result without rows.
   *
   * @throws OutboxError
   */
  statements(branch: Pick<Branch, 'transactionId'>, ...messages: NewMessage[]): BatchStatement[] {
    const { found } = this;
    if (found === undefined) throw notStarted(this.name);
    return messages.flatMap((message) => {
      const { id, topic, key, payload, transactionId } = rowOf(message, branch, this.maxPayloadBytes);
      const add = { sql: found.add, values: [id, topic, key, payload, transactionId] };
      return key === null ? [add] : [{ sql: found.lockKey, values: [key] }, add];
    });
  }

  async start(): Promise<void> {
    try {
      const database = await this.onSession((session) => prepareOutboxTables(session, this.createTables));
      this.found ??= statementsIn(database);
    } catch (error) {
      if (error instanceof OutboxError) throw error;
      throw new OutboxError(
        'DTC_OUTBOX_UNREACHABLE',
        `The outbox "${this.name}" cannot reach its MariaDB database, or has no answer after ${this.statementTimeoutMs} ms: ` +
          `${messageOf(error)}. Check the connection, and that the server is up.`,
        { cause: error },
      );
    }
  }

  async claim(limit: number, leaseMs: number): Promise<readonly ClaimedMessage[]> {
    return this.run(async (session, { free, heads, lock, take }) => {
      const positions = await this.due.find(limit, {
        free: async (most) =>
          (await session.rows<{ position: string }>(free, [most])).map(({ position }) => position),
        heads: async (after) => (await session.rows<HeadText>(heads, [after])).map(headFrom),
      });
      if (positions.length === 0) return [];
      return inTransaction(session, async () => {
        const rows = await session.rows<MessageText>(lock, [positions]);
        if (rows.length === 0) return [];
        await session.run(take, [micros(leaseMs), rows.map(({ position }) => position)]);
        return rows.map(claimedFrom);
      });
    });
  }

  async record(attempts: readonly RecordedAttempt[]): Promise<void> {
    const sent = attempts.filter(({ result }) => result.kind === 'sent').map(({ position }) => position);
    // All or none: after a deadlock they are run again, and a message that was given back may be at another relay by then.
    await this.run((session, statements) =>
      inTransaction(session, async () => {
        if (sent.length > 0) await session.run(statements.sent, [sent]);
        for (const { position, attempt, result } of attempts) {
          if (result.kind === 'sent') continue;
          await session.run(statements.notSent, [
            result.kind === 'interrupted' ? 1 : 0,
            result.kind === 'dead' ? 'dead' : 'waiting',
            result.kind === 'failed' ? micros(result.retryInMs) : 0,
            'error' in result ? result.error : null,
            position,
            attempt,
          ]);
        }
      }),
    );
  }

  async count(): Promise<OutboxCounts> {
    const [row] = await this.run((session, { count }) =>
      session.rows<{ waiting: string; oldest_us: string; dead: string }>(count),
    );
    const { waiting, oldest_us: oldestUs, dead } = row!;
    return { waiting: Number(waiting), oldestMs: Math.max(0, Number(oldestUs) / 1_000), dead: Number(dead) };
  }

  async purge(retainSentMs: number): Promise<boolean> {
    return this.run(async (session, { purge, idleKeys, lockKeys, purgeKeys }) => {
      const { affectedRows } = await session.run(purge, [micros(retainSentMs)]);
      const idle = await session.rows<{ name: string }>(idleKeys);
      if (idle.length > 0) {
        await inTransaction(session, async () => {
          const locked = await session.rows<{ name: string }>(lockKeys, [idle.map(({ name }) => name)]);
          if (locked.length > 0) await session.run(purgeKeys, [locked.map(({ name }) => name)]);
        });
      }
      return affectedRows === DELETED_AT_ONCE || idle.length === DELETED_AT_ONCE;
    });
  }

  async listDead(limit: number): Promise<readonly DeadMessage[]> {
    const rows = await this.run((session, { listDead }) =>
      session.rows<MessageText & { readonly error: string }>(listDead, [limit]),
    );
    return rows.map(deadFrom);
  }

  async requeue(ids: readonly string[]): Promise<number> {
    if (ids.length === 0) return 0;
    return this.run(async (session, { requeue }) => (await session.run(requeue, [ids])).affectedRows);
  }

  async discard(ids: readonly string[]): Promise<number> {
    if (ids.length === 0) return 0;
    return this.run(async (session, { discard }) => (await session.run(discard, [ids])).affectedRows);
  }

  close(): Promise<void> {
    this.closing ??= this.pool.close();
    return this.closing;
  }

  /** InnoDB breaks a deadlock by undoing one transaction as a whole, so that one is done again. */
  private async run<T>(task: (session: Session, statements: OutboxStatements) => Promise<T>): Promise<T> {
    const { found } = this;
    if (found === undefined) throw notStarted(this.name);
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.onSession((session) => task(session, found));
      } catch (error) {
        if (errnoOf(error) !== DEADLOCK || attempt === MOST_ATTEMPTS) throw error;
      }
    }
  }

  private onSession<T>(task: (session: Session) => Promise<T>): Promise<T> {
    return this.pool.run(AbortSignal.timeout(this.statementTimeoutMs), async (session) => {
      if (!this.configured.has(session)) {
        await session.run('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED');
        await session.run('SET max_statement_time = ?', [this.statementTimeoutMs / 1_000]);
        this.configured.add(session);
      }
      return task(session);
    });
  }
}

/** The session must not be given back within a transaction. */
async function inTransaction<T>(session: Session, task: () => Promise<T>): Promise<T> {
  await session.run('START TRANSACTION');
  try {
    const result = await task();
    await session.run('COMMIT');
    return result;
  } catch (error) {
    await session.run('ROLLBACK').catch(() => session.connection.destroy());
    throw error;
  }
}

function headFrom({ message_key: key, position, is_due: isDue }: HeadText): Head {
  return { key, position, isDue: isDue === '1' };
}

/** As it was read before its attempt was counted. */
function claimedFrom(row: MessageText): ClaimedMessage {
  return { ...messageFrom(row), attempt: Number(row.attempts) + 1, json: row.payload };
}

function deadFrom(row: MessageText & { readonly error: string }): DeadMessage {
  return { ...messageFrom(row), attempts: Number(row.attempts), error: row.error };
}

function messageFrom(row: MessageText): Omit<ClaimedMessage, 'attempt' | 'json'> {
  return {
    id: row.id,
    topic: row.topic,
    ...(row.message_key !== null && { key: row.message_key }),
    position: Number(row.position),
    transactionId: row.transaction_id,
    // With six digits of a second, of which the last three are 0.
    writtenAt: `${row.written_at.slice(0, -3)}Z`,
  };
}

function micros(ms: number): number {
  return Math.ceil(ms * 1_000);
}
