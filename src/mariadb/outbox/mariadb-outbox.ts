import type { Connection, ConnectionOptions } from 'mysql2/promise';
import type { MessageRow } from '../../outbox/message.js';
import type { RecordedAttempt } from '../../outbox/store.js';
import { type OutboxStoreOptions, storeOptionsOf } from '../../outbox/store-options.js';
import { type MessageText, SqlOutbox } from '../../sql/outbox.js';
import type { BatchStatement } from '../branch/batch.js';
import { ConnectionPool } from '../connection/connection-pool.js';
import { configOf } from '../connection/connection-pools.js';
import type { Session } from '../connection/session.js';
import { errnoOf } from '../errno.js';
import { type MariaDbOutboxStatements, statementsIn } from './statements.js';
import { DEFINITIONS, prepareOutboxTables } from './tables.js';

/** The options of {@link MariaDbOutbox}. @publicApi */
export interface MariaDbOutboxOptions extends OutboxStoreOptions {
  /** The database of the participant, as a URL or as `mysql2` takes it. */
  readonly connection: string | ConnectionOptions;
}

/** ER_LOCK_WAIT_TIMEOUT and ER_LOCK_DEADLOCK. */
const LOCK_TIMEOUT = 1205;
const DEADLOCK = 1213;
const MOST_ATTEMPTS = 5;

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
export class MariaDbOutbox extends SqlOutbox<Connection, BatchStatement, Session, MariaDbOutboxStatements> {
  /** @internal */
  protected readonly sessions: ConnectionPool;
  private readonly statementTimeoutMs: number;

  /** Opens no connection yet. @throws InvalidOptionsError when an option is impossible. */
  constructor(options: MariaDbOutboxOptions) {
    const resolved = storeOptionsOf('MariaDbOutbox', options);
    super('MariaDB', resolved);
    const { connections, statementTimeoutMs: connectTimeoutMs } = resolved;
    this.statementTimeoutMs = connectTimeoutMs;
    this.sessions = new ConnectionPool(configOf(options.connection, { connectTimeoutMs }), connections);
  }

  get definition(): string {
    return DEFINITIONS.join(';\n');
  }

  /** @internal */
  protected execute(connection: Connection, { sql, values = [] }: BatchStatement): Promise<unknown> {
    return connection.query(sql, [...values]);
  }

  /** @internal */
  protected insertsOf(
    { add, lockKey }: MariaDbOutboxStatements,
    { id, topic, key, payload, transactionId }: MessageRow,
  ): BatchStatement[] {
    const message = { sql: add, values: [id, topic, key, payload, transactionId] };
    return key === null ? [message] : [{ sql: lockKey, values: [key] }, message];
  }

  /** @internal */
  protected configure(session: Session, statementTimeoutMs: number): Promise<unknown> {
    return session.run('SET max_statement_time = ?', [statementTimeoutMs / 1_000]);
  }

  /** @internal */
  protected async prepare(session: Session, createTables: boolean): Promise<MariaDbOutboxStatements> {
    // The server counts in whole seconds, and a wait must end before the statement is out of time.
    const lockWaitSeconds = this.statementTimeoutMs < 2_000 ? 0 : 1;
    return statementsIn(await prepareOutboxTables(session, createTables), lockWaitSeconds);
  }

  /** @internal */
  protected rows<R>(session: Session, sql: string, values?: readonly unknown[]): Promise<R[]> {
    return session.rows<R>(sql, values);
  }

  /** @internal */
  protected async change(session: Session, sql: string, values: readonly unknown[]): Promise<number> {
    return (await session.run(sql, values)).affectedRows;
  }

  /** @internal */
  protected take(
    session: Session,
    { lock, take }: MariaDbOutboxStatements,
    positions: readonly string[],
    leaseMs: number,
  ): Promise<MessageText[]> {
    return inTransaction(session, async () => {
      const rows = await session.rows<MessageText>(lock, [positions]);
      if (rows.length > 0) await session.run(take, [leaseMs, rows.map(({ position }) => position)]);
      return rows;
    });
  }

  /**
   * All or none: after a deadlock they are kept again, and a message that was given back may be at another relay by then.
   *
   * @internal
   */
  protected keep(
    session: Session,
    statements: MariaDbOutboxStatements,
    sent: readonly number[],
    others: readonly RecordedAttempt[],
  ): Promise<void> {
    return inTransaction(session, async () => {
      if (sent.length > 0) await session.run(statements.sent, [sent]);
      for (const { position, attempt, result } of others) {
        await session.run(statements.notSent, [
          result.kind === 'interrupted' ? 1 : 0,
          result.kind === 'dead' ? 'dead' : 'waiting',
          result.kind === 'failed' ? result.retryInMs : 0,
          'error' in result ? result.error : null,
          position,
          attempt,
        ]);
      }
    });
  }

  /** @internal */
  protected async purgeKeys(
    session: Session,
    { idleKeys, lockKeys, purgeKeys }: MariaDbOutboxStatements,
  ): Promise<number> {
    const idle = await session.rows<{ name: string }>(idleKeys);
    if (idle.length === 0) return 0;
    await inTransaction(session, async () => {
      const locked = await session.rows<{ name: string }>(lockKeys, [idle.map(({ name }) => name)]);
      if (locked.length > 0) await session.run(purgeKeys, [locked.map(({ name }) => name)]);
    });
    return idle.length;
  }

  /** @internal */
  protected requeueFree(
    session: Session,
    statements: MariaDbOutboxStatements,
    ids: readonly string[],
  ): Promise<number> {
    return inTransaction(session, async () =>
      replace(session, statements, await session.rows<Place>(statements.deadFree, [ids])),
    );
  }

  /** @internal */
  protected async requeueOf(
    session: Session,
    statements: MariaDbOutboxStatements,
    key: string,
    ids: readonly string[],
  ): Promise<number> {
    try {
      return await inTransaction(session, async () => {
        await session.run(statements.lockKeyNow, [key]);
        return replace(session, statements, await session.rows<Place>(statements.deadOfKey, [ids, key]));
      });
    } catch (error) {
      if (errnoOf(error) === LOCK_TIMEOUT) return 0;
      throw error;
    }
  }

  /** InnoDB breaks a deadlock by undoing one transaction as a whole, so that one is done again. @internal */
  protected override async run<T>(
    task: (session: Session, statements: MariaDbOutboxStatements) => Promise<T>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await super.run(task);
      } catch (error) {
        if (errnoOf(error) !== DEADLOCK || attempt === MOST_ATTEMPTS) throw error;
      }
    }
  }
}

type Place = { readonly position: string };

/** Gives locked messages new positions, and sends them again. @returns how many. */
async function replace(
  session: Session,
  { requeue, drop }: MariaDbOutboxStatements,
  dead: readonly Place[],
): Promise<number> {
  if (dead.length === 0) return 0;
  const positions = dead.map(({ position }) => position);
  await session.run(requeue, [positions]);
  await session.run(drop, [positions]);
  return dead.length;
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
