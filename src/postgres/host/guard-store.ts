import { type ClientConfig, Pool, type PoolClient } from 'pg';
import { SafeLogger } from '../../coordinator/gate/safe-logger.js';
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
import { OwnClient } from '../connection/own-client.js';
import { rowsOf } from '../connection/own-queries.js';
import {
  REPLICATED_WRITE,
  awaitReplicas,
  noteWaits,
  throwIfCutShort,
  waitsCutShort,
} from '../connection/replication.js';
import { GuardTables } from './guard-tables.js';

/** The options of {@link PostgresGuardStore}. @publicApi */
export interface PostgresGuardStoreOptions {
  /** The database of the participants, as a URL or as `pg` takes it. */
  readonly connection: string | ClientConfig;
  /** The schema of the tables. @default the first of the search path */
  readonly schema?: string | undefined;
  /** Whether the first use creates missing tables. @default true */
  readonly createTables?: boolean | undefined;
  /** The most connections. @default 8 */
  readonly connections?: number | undefined;
  /** How long a statement may take, in milliseconds. Then its connection is given up. @default 5_000 */
  readonly statementTimeoutMs?: number | undefined;
}

const SCHEMA = /^[a-z_][a-z0-9_]{0,62}$/;

/**
 * Keeps the records of a participant host in PostgreSQL, in the database of its participants. All replicas of
 * the host use the same tables: `dtc_host_branches`, `dtc_host_runs` and `dtc_host_marks`.
 *
 * @publicApi
 */
export class PostgresGuardStore implements ReplicaGuardStore {
  readonly durable = true;
  private readonly pool: Pool;
  private readonly connections: ConnectionPool;
  private readonly statementTimeoutMs: number;
  private readonly tables: GuardTables;
  private readonly prefix: string;
  private readonly access: StoreAccess<PoolClient>;
  /** The connections whose settings are made. */
  private readonly awaiting = new WeakSet<PoolClient>();

  /** Opens no connection yet. @throws InvalidOptionsError when an option is impossible. */
  constructor({
    connection,
    schema,
    createTables = true,
    connections = 8,
    statementTimeoutMs = 5_000,
    ...unknown
  }: PostgresGuardStoreOptions) {
    const isPlain = schema === undefined || SCHEMA.test(schema);
    checkStoreOptions(
      'PostgresGuardStore',
      { connections, statementTimeoutMs },
      unknown,
      isPlain ? [] : ['schema: must be a plain schema name'],
    );
    this.statementTimeoutMs = statementTimeoutMs;
    this.tables = new GuardTables(schema);
    this.prefix = this.tables.prefix;
    this.access = new StoreAccess<PoolClient>({
      onSession: (task) => this.onConnection(task),
      prepareTables: (client) => this.tables.prepare(client, createTables),
      markRows: (client) =>
        rowsOf<MarkRow>(client, `SELECT log_id, epoch::text, sequence::text FROM ${this.prefix}_marks`),
      dropRecords: (client, logId, epoch, sequence) => this.dropRecords(client, logId, epoch, sequence),
      dropEpochs: (client, logId, epoch) => this.dropEpochs(client, logId, epoch),
    });
    this.pool = new Pool({
      application_name: 'dtc host',
      keepAlive: true,
      ...(typeof connection === 'string' ? { connectionString: connection } : connection),
      max: connections,
      connectionTimeoutMillis: statementTimeoutMs,
      Client: OwnClient,
    });
    this.pool.on('connect', noteWaits);
    this.connections = new ConnectionPool(this.pool, new SafeLogger('PostgreSQL'));
  }

  /** The SQL that creates the tables, for a role that may not. */
  get definition(): string {
    return this.tables.definition;
  }

  /**
   * Makes the tables, if they are missing.
   *
   * @throws PostgresStartUpError with the SQL to run when they cannot be used.
   */
  async start(): Promise<void> {
    await this.access.start();
  }

  async read(branch: GuardedBranch): Promise<StoredGuardRecord | undefined> {
    return this.access.run((client) => this.readOn(client, branch));
  }

  async insert(
    branch: GuardedBranch,
    record: GuardRecord,
    holdMs: number,
    unlessOver: boolean,
  ): Promise<GuardWrite> {
    const { logId, epoch, sequence } = placeOf(branch);
    return this.access.run(async (client) => {
      const written = await this.write(
        client,
        `INSERT INTO ${this.prefix}_branches
          (participant, transaction_id, branch_id, log_id, epoch, sequence, record, is_over, held_until)
        SELECT $1, $2, $3, $4, $5::int, $6::bigint, $7, $8::boolean, clock_timestamp() + $9 * interval '1 millisecond'
        WHERE NOT $10::boolean OR NOT EXISTS (SELECT FROM ${this.prefix}_marks AS mark WHERE mark.log_id = $4
          AND ((mark.epoch = 0 AND mark.sequence >= $5::int) OR (mark.epoch = $5::int AND mark.sequence >= $6::bigint)))
        ON CONFLICT DO NOTHING RETURNING version::text`,
        [
          ...keyOf(branch),
          logId,
          epoch,
          sequence,
          JSON.stringify(record),
          isFinal(record),
          holdMs,
          unlessOver,
        ],
      );
      return written ?? { isWritten: false, stored: await this.readReplicated(client, branch) };
    });
  }

  async replace(
    branch: GuardedBranch,
    version: number,
    record: GuardRecord,
    holdMs: number,
  ): Promise<GuardWrite> {
    return this.access.run(async (client) => {
      const written = await this.write(
        client,
        `UPDATE ${this.prefix}_branches SET record = $5, is_over = $6::boolean, version = DEFAULT,
          held_until = clock_timestamp() + $7 * interval '1 millisecond'
        WHERE participant = $1 AND transaction_id = $2 AND branch_id = $3 AND version = $4::bigint RETURNING version::text`,
        [...keyOf(branch), version, JSON.stringify(record), isFinal(record), holdMs],
      );
      return written ?? { isWritten: false, stored: await this.readReplicated(client, branch) };
    });
  }

  async listOpen(participant: string, after: string | undefined, limit: number): Promise<GuardedBranch[]> {
    const rows = await this.access.run((client) =>
      rowsOf<{ transaction_id: string; branch_id: string }>(
        client,
        `SELECT transaction_id, branch_id FROM ${this.prefix}_branches
        WHERE participant = $1 AND NOT is_over AND held_until <= clock_timestamp()
          AND record::json ->> 'state' <> 'committing'
          AND (transaction_id || '/' || branch_id) COLLATE "C" > $2
        ORDER BY (transaction_id || '/' || branch_id) COLLATE "C" LIMIT $3::int`,
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
    return this.access.run(async (client) => {
      const before = waitsCutShort(client);
      await client.query(
        `INSERT INTO ${this.prefix}_runs (log_id, epoch, token) SELECT $1, $2::int, $3 WHERE NOT EXISTS (
          SELECT FROM ${this.prefix}_marks WHERE log_id = $1 AND epoch = 0 AND sequence >= $2::int) ON CONFLICT DO NOTHING`,
        [logId, epoch, token],
      );
      await client.query(REPLICATED_WRITE);
      throwIfCutShort(client, before, 'The admission of a run');
      const rows = await rowsOf<{ token: string }>(
        client,
        `SELECT token FROM ${this.prefix}_runs WHERE log_id = $1 AND epoch = $2::int`,
        [logId, epoch],
      );
      return rows[0]?.token ?? '';
    });
  }

  async raise(logId: string, marks: readonly LowWaterMark[]): Promise<void> {
    await this.access.run(async (client) => {
      const before = waitsCutShort(client);
      await client.query(
        `INSERT INTO ${this.prefix}_marks (log_id, epoch, sequence)
        SELECT $1, epoch, max(sequence) FROM unnest($2::int[], $3::bigint[]) AS mark (epoch, sequence) GROUP BY epoch ORDER BY epoch
        ON CONFLICT (log_id, epoch) DO UPDATE SET sequence = greatest(${this.prefix}_marks.sequence, excluded.sequence)`,
        [logId, marks.map(({ epoch }) => epoch), marks.map(({ sequence }) => sequence)],
      );
      throwIfCutShort(client, before, 'A low-water mark');
    });
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
    await this.connections.close();
  }

  private async readOn(client: PoolClient, branch: GuardedBranch): Promise<StoredGuardRecord | undefined> {
    const rows = await rowsOf<RecordRow>(
      client,
      `SELECT record, version::text, (held_until > clock_timestamp())::text AS is_held FROM ${this.prefix}_branches
      WHERE participant = $1 AND transaction_id = $2 AND branch_id = $3`,
      keyOf(branch),
    );
    return storedRecord(rows[0], 'true');
  }

  /** A row that another session has written counts only when it is at the standbys. */
  private async readReplicated(
    client: PoolClient,
    branch: GuardedBranch,
  ): Promise<StoredGuardRecord | undefined> {
    const stored = await this.readOn(client, branch);
    const before = waitsCutShort(client);
    await client.query(REPLICATED_WRITE);
    throwIfCutShort(client, before, 'The record of a branch');
    return stored;
  }

  /** @returns undefined when no row was written. */
  private async write(
    client: PoolClient,
    text: string,
    values: readonly unknown[],
  ): Promise<GuardWrite | undefined> {
    const before = waitsCutShort(client);
    const rows = await rowsOf<{ version: string }>(client, text, values);
    throwIfCutShort(client, before, 'The record of a branch');
    return rows[0] && { isWritten: true, version: Number(rows[0].version) };
  }

  private async dropRecords(
    client: PoolClient,
    logId: string,
    epoch: string,
    sequence: number,
  ): Promise<number> {
    const isBelow =
      epoch === '0' ? 'epoch <= $2::bigint AND $3::int = 0' : 'epoch = $3::int AND sequence <= $2::bigint';
    const { rowCount } = await client.query(
      `DELETE FROM ${this.prefix}_branches WHERE ctid = ANY (ARRAY(SELECT ctid FROM ${this.prefix}_branches
        WHERE log_id = $1 AND ${isBelow} AND is_over LIMIT ${PURGED_AT_ONCE})) AND is_over`,
      [logId, sequence, epoch],
    );
    return rowCount ?? 0;
  }

  private async dropEpochs(client: PoolClient, logId: string, epoch: number): Promise<void> {
    for (const table of ['marks', 'runs']) {
      await client.query(
        `DELETE FROM ${this.prefix}_${table} WHERE log_id = $1 AND epoch > 0 AND epoch <= $2::bigint`,
        [logId, epoch],
      );
    }
  }

  private onConnection<T>(task: (client: PoolClient) => Promise<T>): Promise<T> {
    return this.connections.run(AbortSignal.timeout(this.statementTimeoutMs), async (client) => {
      if (!this.awaiting.has(client)) {
        await awaitReplicas(client);
        await client.query("SET default_transaction_isolation = 'read committed'; SET lock_timeout = 0");
        this.awaiting.add(client);
      }
      return task(client);
    });
  }
}
