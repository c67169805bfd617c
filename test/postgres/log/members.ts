import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { type LogClaim, type SharedDecisionLog, idPrefixOf } from '../../../src/coordinator/index.js';
import { PostgresDecisionLog, type PostgresLogSettings } from '../../../src/postgres/index.js';
import { until } from '../../support/postgres/branches.js';
import { PostgresServer, type TestDatabase } from '../../support/postgres/server.js';
import { TcpProxy } from '../../support/tcp-proxy.js';

/** A member of the coordinator `shop` on a log that other sessions of a test look into. */
export interface Member {
  readonly log: PostgresDecisionLog;
  readonly claim: LogClaim;
  readonly id: (sequence: number) => string;
}

/**
 * What tests of the log on PostgreSQL need: a server, a proxy before it, and a session that looks into the
 * tables.
 */
export class LogBench {
  server!: PostgresServer;
  database!: TestDatabase;
  proxy!: TcpProxy;
  /** A session that looks into the tables, and holds locks. */
  client!: Client;
  /** Sees what sessions wait for: within a transaction that does not change. */
  private watcher!: Client;
  private readonly logs: PostgresDecisionLog[] = [];

  async start(settings: PostgresLogSettings & { readonly isProxied?: boolean } = {}): Promise<Member> {
    const { isProxied = false, ...rest } = settings;
    const connection = isProxied ? this.database.urlBy({ port: this.proxy.port }) : this.database.url;
    const log = this.make({ connection, ...rest });
    const claim = await log.open('shop');
    const prefix = idPrefixOf({ name: 'shop', logId: claim.logId, epoch: claim.epoch });
    return { log, claim, id: (sequence) => prefix + sequence };
  }

  async connect(): Promise<void> {
    this.client = new Client(this.database.url);
    this.watcher = new Client(this.server.database('postgres').url);
    await Promise.all([this.client.connect(), this.watcher.connect()]);
  }

  async disconnect(): Promise<void> {
    await Promise.all([this.client.end(), this.watcher.end()]);
  }

  /** A log that is closed after the test. */
  make(options: ConstructorParameters<typeof PostgresDecisionLog>[0]): PostgresDecisionLog {
    const log = new PostgresDecisionLog(options);
    this.logs.push(log);
    return log;
  }

  async close(): Promise<void> {
    for (const log of this.logs.splice(0)) await log.close();
  }

  /** The numbers of the decisions that the log holds of an epoch. */
  async recorded({ claim }: Member): Promise<number[]> {
    const { rows } = await this.client.query<{ sequence: string }>(
      'SELECT sequence FROM dtc_log.decisions WHERE epoch = $1 ORDER BY sequence',
      [claim.epoch],
    );
    return rows.map(({ sequence }) => Number(sequence));
  }

  /** Waits until a session of the log waits for what the kind says. */
  async waiting(event: 'Lock' | 'IPC'): Promise<number> {
    let pid = 0;
    await until(`a session of the log waits (${event})`, async () => {
      const { rows } = await this.watcher.query<{ pid: number }>(
        `SELECT pid FROM pg_stat_activity WHERE application_name = 'dtc log' AND wait_event_type = $1 AND state = 'active'`,
        [event],
      );
      pid = rows[0]?.pid ?? 0;
      return pid > 0;
    });
    return pid;
  }

  /** Ends all sessions of the log at the server. */
  async endSessions(): Promise<void> {
    await this.client.query(END_SESSIONS);
  }
}

const TABLES = [
  'logs',
  'epochs',
  'members',
  'decisions',
  'outcomes',
  'reports',
  'audits',
  'request_keys',
  'registrations',
];

/** Empties every table of the log. */
export const EMPTY = TABLES.map((table) => `DELETE FROM dtc_log.${table};`).join(' ');

/** Keeps what a log holds. @returns a function that brings it back, and ends every session of the log. */
export async function backUp(client: Client): Promise<() => Promise<void>> {
  const kept = TABLES.map((table) => `CREATE TEMPORARY TABLE kept_${table} AS TABLE dtc_log.${table};`);
  await client.query(kept.join(' '));
  return async () => {
    const back = TABLES.map(
      (table) =>
        `INSERT INTO dtc_log.${table} OVERRIDING SYSTEM VALUE TABLE kept_${table}; DROP TABLE kept_${table};`,
    );
    await client.query(END_SESSIONS);
    await client.query(`BEGIN; ${EMPTY} ${back.join(' ')} COMMIT`);
  };
}

const END_SESSIONS = `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
  WHERE application_name = 'dtc log' AND datname = current_database()`;

/** One server for the tests of a file, with an empty log for each. */
export function useLog(): LogBench {
  const bench = new LogBench();
  beforeAll(async () => {
    bench.server = await PostgresServer.start();
    bench.database = await bench.server.createDatabase();
    await bench.connect();
    await bench.start();
    await bench.close();
  });
  beforeEach(async () => {
    await bench.client.query(EMPTY);
    bench.proxy = await TcpProxy.open({ host: '127.0.0.1', port: bench.server.port });
  });
  afterEach(async () => {
    await bench.client.query('ROLLBACK');
    await bench.close();
    await bench.proxy.close();
  });
  afterAll(async () => {
    await bench.disconnect();
    await bench.server.stop();
  });
  return bench;
}

/** Appends a decision with two branches. */
export async function append(log: SharedDecisionLog, id: string, payload: unknown = 1): Promise<void> {
  await log.append({
    id,
    toRecord: () => ({
      id,
      name: 'sale',
      decider: { kind: 'log' },
      branches: [{ branchId: 'stock', participant: 'stock', payload, completed: false }],
    }),
  });
}

export const LEASE = { member: 'a', address: null, draining: false } as const;
