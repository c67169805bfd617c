import { messageOf } from '../coordinator/gate/texts.js';
import type { Branch } from '../coordinator/participant/participant.js';
import { DueMessages } from '../outbox/due-messages.js';
import { OutboxError } from '../outbox/errors.js';
import { type MessageRow, type NewMessage, rowOf } from '../outbox/message.js';
import {
  type ClaimedMessage,
  DELETED_AT_ONCE,
  type DeadMessage,
  type DeadMessageInFull,
  type OutboxCounts,
  type OutboxStore,
  type RecordedAttempt,
} from '../outbox/store.js';
import { type ResolvedStoreOptions, notStarted } from '../outbox/store-options.js';
import type { OutboxStatements } from './outbox-statements.js';

/** The columns of a message, each as text. */
export type HeaderText = {
  readonly position: string;
  readonly id: string;
  readonly topic: string;
  readonly key: string | null;
  readonly transaction_id: string;
  readonly attempts: string;
  /** ISO 8601. */
  readonly written_at: string;
};

/** A message that was taken, with the number of this attempt. */
export type MessageText = HeaderText & { readonly payload: string };

type DeadText = HeaderText & { readonly error: string };
type HeadText = { readonly key: string; readonly position: string; readonly is_due: string };
type CountText = { readonly waiting: string; readonly oldest_ms: string; readonly dead: string };

/** The connections of the relay. */
interface Sessions<S> {
  run<T>(signal: AbortSignal, task: (session: S) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/**
 * An outbox in an SQL database. It is the same in all of them but for their statements.
 *
 * @typeParam C a connection of the work of a branch.
 * @typeParam W a statement of a batch.
 * @publicApi
 */
export abstract class SqlOutbox<
  C,
  W,
  S extends object,
  F extends OutboxStatements = OutboxStatements,
> implements OutboxStore {
  readonly name: string;
  /** @internal */
  protected abstract readonly sessions: Sessions<S>;
  private readonly due = new DueMessages();
  private found: F | undefined;
  private closing: Promise<void> | undefined;
  /** The sessions whose settings are made. */
  private readonly configured = new WeakSet<S>();

  /** @internal @param product what people call the database. */
  protected constructor(
    private readonly product: string,
    private readonly options: ResolvedStoreOptions,
  ) {
    this.name = options.name;
  }

  /** The SQL that creates the tables, for a role or a user that may not. */
  abstract get definition(): string;

  /**
   * Writes messages in the transaction of a branch. Await it before the vote.
   *
   * @param connection of the work of the branch.
   * @throws OutboxError when a message cannot be written, and any error of the database: the branch cannot commit then.
   */
  async add(connection: C, branch: Pick<Branch, 'transactionId'>, ...messages: NewMessage[]): Promise<void> {
    for (const statement of this.statements(branch, ...messages)) await this.execute(connection, statement);
  }

  /**
   * The same for a batch: add the statements to those of the branch. Each has a result without rows. On MariaDB a message with a key
   * has two.
   *
   * @throws OutboxError
   */
  statements(branch: Pick<Branch, 'transactionId'>, ...messages: NewMessage[]): W[] {
    const { found, options } = this;
    if (found === undefined) throw notStarted(this.name);
    return messages.flatMap((message) =>
      this.insertsOf(found, rowOf(message, branch, options.maxPayloadBytes)),
    );
  }

  async start(): Promise<void> {
    const { options, product } = this;
    try {
      const found = await this.onSession((session) => this.prepare(session, options.createTables));
      this.found ??= found;
    } catch (error) {
      if (error instanceof OutboxError) throw error;
      throw new OutboxError(
        'DTC_OUTBOX_UNREACHABLE',
        `The outbox "${this.name}" cannot reach its ${product} database, or has no answer after ${options.statementTimeoutMs} ms: ` +
          `${messageOf(error)}. Check the connection, and that the server is up.`,
        { cause: error },
      );
    }
  }

  async claim(limit: number, leaseMs: number): Promise<readonly ClaimedMessage[]> {
    const rows = await this.run(async (session, found) => {
      const positions = await this.due.find(limit, {
        free: async (most) =>
          (await this.rows<{ position: string }>(session, found.free, [most], 'free')).map(
            ({ position }) => position,
          ),
        heads: async (after) =>
          (await this.rows<HeadText>(session, found.heads, [after], 'heads')).map(
            ({ key, position, is_due: isDue }) => ({ key, position, isDue: isDue === 'true' }),
          ),
      });
      return positions.length === 0 ? [] : this.take(session, found, positions, leaseMs);
    });
    return rows.map(claimedFrom);
  }

  async record(attempts: readonly RecordedAttempt[]): Promise<void> {
    const sent = attempts.filter(({ result }) => result.kind === 'sent').map(({ position }) => position);
    const others = attempts.filter(({ result }) => result.kind !== 'sent');
    await this.run((session, found) => this.keep(session, found, sent, others));
  }

  async count(): Promise<OutboxCounts> {
    const [row] = await this.run((session, { count }) => this.rows<CountText>(session, count));
    const { waiting, oldest_ms: oldestMs, dead } = row!;
    // The clock of the server may have been set back.
    return { waiting: Number(waiting), oldestMs: Math.max(0, Number(oldestMs)), dead: Number(dead) };
  }

  purge(retainSentMs: number): Promise<boolean> {
    return this.run(async (session, found) => {
      const messages = await this.change(session, found.purge, [retainSentMs]);
      const keys = await this.purgeKeys(session, found);
      return messages === DELETED_AT_ONCE || keys === DELETED_AT_ONCE;
    });
  }

  async listDead(limit: number, after = 0): Promise<readonly DeadMessage[]> {
    const rows = await this.run((session, { listDead }) =>
      this.rows<DeadText>(session, listDead, [after, limit]),
    );
    return rows.map(deadFrom);
  }

  async findDead(id: string): Promise<DeadMessageInFull | undefined> {
    const [row] = await this.run((session, { findDead }) =>
      this.rows<DeadText & MessageText>(session, findDead, [id]),
    );
    return row && { ...deadFrom(row), json: row.payload };
  }

  async requeue(ids: readonly string[]): Promise<number> {
    if (ids.length === 0) return 0;
    const endAt = performance.now() + this.options.statementTimeoutMs;
    let done = await this.run((session, found) => this.requeueFree(session, found, ids));
    const keys = await this.run((session, { deadKeys }) =>
      this.rows<{ key: string }>(session, deadKeys, [ids]),
    );
    // One at a time: a branch that holds one of the locks may wait for a session that holds several of them.
    for (const { key } of keys) {
      if (performance.now() > endAt) break;
      done += await this.run((session, found) => this.requeueOf(session, found, key, ids));
    }
    return done;
  }

  async discard(ids: readonly string[]): Promise<number> {
    if (ids.length === 0) return 0;
    return this.run((session, { discard }) => this.change(session, discard, [ids]));
  }

  close(): Promise<void> {
    this.closing ??= this.sessions.close();
    return this.closing;
  }

  /** @internal */
  protected abstract execute(connection: C, statement: W): Promise<unknown>;

  /** The statements that write a message. @internal */
  protected abstract insertsOf(found: F, row: MessageRow): W[];

  /** Makes the settings of a new session. @internal */
  protected abstract configure(session: S, statementTimeoutMs: number): Promise<unknown>;

  /** Finds the tables. @returns the statements that name them. @internal */
  protected abstract prepare(session: S, createTables: boolean): Promise<F>;

  /** @param name of a statement that the server may keep. @internal */
  protected abstract rows<R extends Readonly<Record<string, string | null>>>(
    session: S,
    sql: string,
    values?: readonly unknown[],
    name?: string,
  ): Promise<R[]>;

  /** @returns how many rows it has changed. @internal */
  protected abstract change(session: S, sql: string, values: readonly unknown[]): Promise<number>;

  /** Takes those of the messages that are due, and that no other relay has taken. @internal */
  protected abstract take(
    session: S,
    found: F,
    positions: readonly string[],
    leaseMs: number,
  ): Promise<MessageText[]>;

  /** Keeps the results of attempts. @internal */
  protected abstract keep(
    session: S,
    found: F,
    sent: readonly number[],
    others: readonly RecordedAttempt[],
  ): Promise<void>;

  /** Deletes keys that no branch has used for long. @returns how many were looked at. @internal */
  protected abstract purgeKeys(session: S, found: F): Promise<number>;

  /**
   * Sends dead ones without a key again. Each gets another position, so that the result of an attempt before, which may still come,
   * counts for none of the attempts after. @returns how many. @internal
   */
  protected abstract requeueFree(session: S, found: F, ids: readonly string[]): Promise<number>;

  /** Sends the dead ones of a key again. @returns how many; 0 when a branch holds the key. @internal */
  protected abstract requeueOf(session: S, found: F, key: string, ids: readonly string[]): Promise<number>;

  /** Runs a task of the relay. @throws OutboxError before the start. @internal */
  protected run<T>(task: (session: S, found: F) => Promise<T>): Promise<T> {
    const { found } = this;
    if (found === undefined) return Promise.reject(notStarted(this.name));
    return this.onSession((session) => task(session, found));
  }

  private onSession<T>(task: (session: S) => Promise<T>): Promise<T> {
    const { statementTimeoutMs } = this.options;
    return this.sessions.run(AbortSignal.timeout(statementTimeoutMs), async (session) => {
      if (!this.configured.has(session)) {
        await this.configure(session, statementTimeoutMs);
        this.configured.add(session);
      }
      return task(session);
    });
  }
}

function headerOf(row: HeaderText): Omit<ClaimedMessage, 'attempt' | 'json'> {
  return {
    id: row.id,
    topic: row.topic,
    ...(row.key !== null && { key: row.key }),
    position: Number(row.position),
    transactionId: row.transaction_id,
    writtenAt: row.written_at,
  };
}

function claimedFrom(row: MessageText): ClaimedMessage {
  return { ...headerOf(row), attempt: Number(row.attempts), json: row.payload };
}

function deadFrom(row: DeadText): DeadMessage {
  return { ...headerOf(row), attempts: Number(row.attempts), error: row.error };
}
