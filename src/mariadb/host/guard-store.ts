import { randomInt } from 'node:crypto';
import type { ConnectionOptions } from 'mysql2/promise';
import type {
  GuardRecord,
  GuardWrite,
  GuardedBranch,
  LowWaterMark,
  ReplicaGuardStore,
  StoredGuardRecord,
} from '../../coordinator/guard/index.js';
import type { CoordinatorRun } from '../../coordinator/participant/participant.js';
import { isFinal, keyOf, placeOf } from '../../sql/guard-records.js';
import {
  type MarkRow,
  PURGED_AT_ONCE,
  type RecordRow,
  StoreAccess,
  checkStoreOptions,
  storedRecord,
} from '../../sql/guard-store.js';
import { ConnectionPool } from '../connection/connection-pool.js';
import { configOf } from '../connection/connection-pools.js';
import type { Session } from '../connection/session.js';
import { errnoOf } from '../errno.js';
import { GUARD_TABLES, prepareGuardTables } from './guard-tables.js';

/** The options of {@link MariaDbGuardStore}. @publicApi */
export interface MariaDbGuardStoreOptions {
  /** The database of the participants, as a URL or as `mysql2` takes it. */
  readonly connection: string | ConnectionOptions;
  /** Whether the first use creates missing tables. @default true */
  readonly createTables?: boolean | undefined;
  /** The most connections. @default 8 */
  readonly connections?: number | undefined;
  /** How long a call may take, in milliseconds. Then its connection is given up. @default 5_000 */
  readonly statementTimeoutMs?: number | undefined;
}

/** ER_DUP_ENTRY. */
const DUPLICATE = 1062;
/** ER_LOCK_DEADLOCK. */
const DEADLOCK = 1213;
const MOST_ATTEMPTS = 5;
/** A version is random, so that a record which was dropped and written again has another one. */
const MAX_VERSION = 2 ** 48 - 1;
const UNTIL = 'UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND';

/**
 * Keeps the records of a participant host in MariaDB, in the database of its participants. All replicas of
 * the host use the same tables: `dtc_host_branches`, `dtc_host_runs` and `dtc_host_marks`.
 *
 * @publicApi
 */
export class MariaDbGuardStore implements ReplicaGuardStore {
  readonly durable = true;
  private readonly pool: ConnectionPool;
  private readonly statementTimeoutMs: number;
  private readonly access: StoreAccess<Session>;
  /** The sessions whose settings are made. */
  private readonly configured = new WeakSet<Session>();

  /** Opens no connection yet. @throws InvalidOptionsError when an option is impossible. */
  constructor({
    connection,
    createTables = true,
    connections = 8,
    statementTimeoutMs = 5_000,
    ...unknown
  }: MariaDbGuardStoreOptions) {
    checkStoreOptions('MariaDbGuardStore', { connections, statementTimeoutMs }, unknown);
    this.statementTimeoutMs = statementTimeoutMs;
    this.access = new StoreAccess<Session>({
      onSession: (task) => this.onSession(task),
      prepareTables: (session) => prepareGuardTables(session, createTables),
      markRows: (session) => session.rows<MarkRow>(MARKS),
      dropRecords,
      dropEpochs,
    });
    const config = configOf(connection, { connectTimeoutMs: statementTimeoutMs });
    this.pool = new ConnectionPool(config, connections);
  }

  /** The SQL that creates the tables, for a user that may not. */
  get definition(): string {
    return GUARD_TABLES.join(';\n');
  }

  /**
   * Makes the tables, if they are missing.
   *
   * @throws MariaDbStartUpError with the SQL to run when they cannot be used.
   */
  async start(): Promise<void> {
    await this.access.start();
  }

  async read(branch: GuardedBranch): Promise<StoredGuardRecord | undefined> {
    return this.access.run((session) => this.readOn(session, branch));
  }

  async insert(
    branch: GuardedBranch,
    record: GuardRecord,
    holdMs: number,
    unlessOver: boolean,
  ): Promise<GuardWrite> {
    const { logId, epoch, sequence } = placeOf(branch);
    const version = newVersion();
    return this.access.run(async (session) => {
      const isWritten = await unlessDuplicate(() =>
        session.run(
          `INSERT INTO dtc_host_branches
            (participant, transaction_id, branch_id, log_id, epoch, sequence, record, is_over, version, held_until)
          SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ${UNTIL} FROM DUAL WHERE NOT ? OR NOT EXISTS (
            SELECT 1 FROM dtc_host_marks AS mark WHERE mark.log_id = ?
            AND ((mark.epoch = 0 AND mark.sequence >= ?) OR (mark.epoch = ? AND mark.sequence >= ?)))`,
          [
            ...keyOf(branch),
            logId,
            epoch,
            sequence,
            JSON.stringify(record),
            isFinal(record) ? 1 : 0,
            version,
            micros(holdMs),
            unlessOver ? 1 : 0,
            logId,
            epoch,
            epoch,
            sequence,
          ],
        ),
      );
      if (isWritten) return { isWritten, version };
      return { isWritten, stored: await this.readOn(session, branch) };
    });
  }

  async replace(
    branch: GuardedBranch,
    version: number,
    record: GuardRecord,
    holdMs: number,
  ): Promise<GuardWrite> {
    const next = newVersion();
    return this.access.run(async (session) => {
      const { affectedRows } = await session.run(
        `UPDATE dtc_host_branches SET record = ?, is_over = ?, version = ?, held_until = ${UNTIL}
        WHERE participant = ? AND transaction_id = ? AND branch_id = ? AND version = ?`,
        [JSON.stringify(record), isFinal(record) ? 1 : 0, next, micros(holdMs), ...keyOf(branch), version],
      );
      if (affectedRows === 1) return { isWritten: true, version: next };
      return { isWritten: false, stored: await this.readOn(session, branch) };
    });
  }

  async listOpen(participant: string, after: string | undefined, limit: number): Promise<GuardedBranch[]> {
    const rows = await this.access.run((session) =>
      session.rows<{ transaction_id: string; branch_id: string }>(
        `SELECT transaction_id, branch_id FROM dtc_host_branches
        WHERE participant = ? AND is_over = 0 AND held_until <= UTC_TIMESTAMP(3)
          AND JSON_VALUE(record, '$.state') <> 'committing'
          AND CONCAT(transaction_id, '/', branch_id) COLLATE utf8mb4_nopad_bin > ?
        ORDER BY CONCAT(transaction_id, '/', branch_id) COLLATE utf8mb4_nopad_bin LIMIT ?`,
        [participant, after ?? '', limit],
      ),
    );
    return rows.map((row) => ({ participant, transactionId: row.transaction_id, branchId: row.branch_id }));
  }

  async admitRun({
    logId,
    epoch,
    token,
  }: Pick<CoordinatorRun, 'logId' | 'epoch' | 'token'>): Promise<string> {
    return this.access.run(async (session) => {
      await unlessDuplicate(() =>
        session.run(
          `INSERT INTO dtc_host_runs (log_id, epoch, token) SELECT ?, ?, ? FROM DUAL WHERE NOT EXISTS (
            SELECT 1 FROM dtc_host_marks WHERE log_id = ? AND epoch = 0 AND sequence >= ?)`,
          [logId, epoch, token, logId, epoch],
        ),
      );
      const [row] = await session.rows<{ token: string }>(
        'SELECT token FROM dtc_host_runs WHERE log_id = ? AND epoch = ?',
        [logId, epoch],
      );
      return row?.token ?? '';
    });
  }

  async raise(logId: string, marks: readonly LowWaterMark[]): Promise<void> {
    if (marks.length === 0) return;
    // In one order, so that two replicas do not wait for each other.
    const rows = marks
      .toSorted((one, other) => one.epoch - other.epoch)
      .map(({ epoch, sequence }) => [logId, epoch, sequence]);
    await this.access.run((session) =>
      session.run(
        `INSERT INTO dtc_host_marks (log_id, epoch, sequence) VALUES ?
        ON DUPLICATE KEY UPDATE sequence = GREATEST(sequence, VALUES(sequence))`,
        [rows],
      ),
    );
  }

  isOver(transactionId: string): Promise<boolean> {
    return this.access.isOver(transactionId);
  }

  purge(): Promise<number> {
    return this.access.purge();
  }

  /** Closes the connections. */
  async close(): Promise<void> {
    await this.access.settled();
    await this.pool.close();
  }

  private async readOn(session: Session, branch: GuardedBranch): Promise<StoredGuardRecord | undefined> {
    const [row] = await session.rows<RecordRow>(
      `SELECT record, CAST(version AS CHAR) AS version, CAST(held_until > UTC_TIMESTAMP(3) AS CHAR) AS is_held
      FROM dtc_host_branches WHERE participant = ? AND transaction_id = ? AND branch_id = ?`,
      keyOf(branch),
    );
    return storedRecord(row, '1');
  }

  /** InnoDB breaks a deadlock of writers by undoing all of one statement, so that one is done again. */
  private async onSession<T>(task: (session: Session) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.onSessionOnce(task);
      } catch (error) {
        if (errnoOf(error) !== DEADLOCK || attempt === MOST_ATTEMPTS) throw error;
      }
    }
  }

  private onSessionOnce<T>(task: (session: Session) => Promise<T>): Promise<T> {
    return this.pool.run(AbortSignal.timeout(this.statementTimeoutMs), async (session) => {
      if (!this.configured.has(session)) {
        await session.run('SET max_statement_time = ?', [this.statementTimeoutMs / 1_000]);
        this.configured.add(session);
      }
      return task(session);
    });
  }
}

const MARKS =
  'SELECT log_id, CAST(epoch AS CHAR) AS epoch, CAST(sequence AS CHAR) AS sequence FROM dtc_host_marks';

async function dropRecords(
  session: Session,
  logId: string,
  epoch: string,
  sequence: number,
): Promise<number> {
  const isBelow = epoch === '0' ? 'epoch <= ?' : 'sequence <= ? AND epoch = ?';
  const { affectedRows } = await session.run(
    `DELETE FROM dtc_host_branches WHERE log_id = ? AND ${isBelow} AND is_over = 1 LIMIT ${PURGED_AT_ONCE}`,
    [logId, sequence, ...(epoch === '0' ? [] : [Number(epoch)])],
  );
  return affectedRows;
}

async function dropEpochs(session: Session, logId: string, epoch: number): Promise<void> {
  for (const table of ['marks', 'runs']) {
    await session.run(`DELETE FROM dtc_host_${table} WHERE log_id = ? AND epoch > 0 AND epoch <= ?`, [
      logId,
      epoch,
    ]);
  }
}

function newVersion(): number {
  return randomInt(1, MAX_VERSION);
}

function micros(ms: number): number {
  return Math.ceil(ms * 1_000);
}

/** @returns whether a row was written; false when there is one with its key. */
async function unlessDuplicate(insert: () => Promise<{ readonly affectedRows: number }>): Promise<boolean> {
  try {
    return (await insert()).affectedRows === 1;
  } catch (error) {
    if (errnoOf(error) !== DUPLICATE) throw error;
    return false;
  }
}
