import { createHash } from 'node:crypto';
import type { ClientBase } from 'pg';
import { quoted } from '../../sql/gid.js';
import { type BranchEnd, branchEndOf } from '../../sql/guard.js';
import { COORDINATOR_IN_GID, PARTICIPANT_IN_GID } from '../gid.js';
import { OWN_MARK } from '../connection/own-names.js';
import { lastRowsOf, rowsOf } from '../connection/own-queries.js';
import { REPLICATED_WRITE } from '../connection/replication.js';

/** The condition for rows that are old enough to be deleted. */
const OLD =
  `ctid >= format('(%s,0)', $5::bigint)::tid AND ctid < format('(%s,0)', $6::bigint)::tid ` +
  `AND written_at < now() - $1 * interval '1 millisecond' AND ${PARTICIPANT_IN_GID} = $2 ` +
  `AND ${COORDINATOR_IN_GID} = ANY ($3) AND pg_visible_in_snapshot(xid, $4::pg_snapshot)`;

/** The limits of a branch at the server, in milliseconds. */
export interface BranchLimits {
  /** How long a statement waits for a lock. */
  readonly lockMs: number;
  /** How long the transaction lasts. */
  readonly totalMs: number;
}

/**
 * The guard table of a database, which keeps the contract of {@link BranchEnd}: the statements that write and
 * read it.
 */
export class GuardTable {
  private found: string;
  /** The names of the statement that returns a row, and of the one that does not. */
  private names: { readonly told: string; readonly quiet: string };

  /** @param name checked to be a plain identifier, with or without its schema. */
  constructor(readonly name: string) {
    this.found = name;
    this.names = statementNamesOf(name);
  }

  /**
   * From now on every statement names the table with its schema: which table a bare name means depends on the
   * search path of the session, which the work may set.
   *
   * @param table with its schema, both quoted.
   */
  resolveTo(table: string): void {
    this.found = table;
    this.names = statementNamesOf(table);
  }

  /** Its name in SQL. */
  get table(): string {
    return this.found;
  }

  /**
   * The session's name for the statement that writes the row of the work. PostgreSQL accepts up to 63 bytes.
   *
   * @param isTold whether it returns a row, which shows before the end of the query that the row is written.
   */
  statementName(isTold: boolean): string {
    return isTold ? this.names.told : this.names.quiet;
  }

  /**
   * @param limits the settings that limit a transaction.
   * @returns SQL that prepares that statement: planning it for each branch would cost more than running it.
   * It names all columns, since their defaults would be read each time. It also sets the limits of the branch
   * for its transaction, and releases advisory locks that the work of an earlier branch may have left on the
   * session. These are part of a value: a statement for each, or a condition with them, costs the server more.
   */
  prepareInsert(limits: readonly string[], isTold: boolean): string {
    const set = ['lock_timeout', ...limits].map(
      (name, index) => `pg_catalog.set_config('${name}', $${index === 0 ? 2 : 3}, true) IS NOT NULL`,
    );
    const isDone = [...set, 'pg_catalog.pg_advisory_unlock_all() IS NOT NULL'].join(' AND ');
    return (
      `PREPARE "${this.statementName(isTold)}" (pg_catalog.text, pg_catalog.text, pg_catalog.text) AS ` +
      `INSERT INTO ${this.table} (gid, state, xid, written_at) VALUES ($1, CASE WHEN ${isDone} THEN 'committed' END, ` +
      `pg_catalog.pg_current_xact_id(), pg_catalog.now())${isTold ? ' RETURNING NULL' : ''}`
    );
  }

  /**
   * @returns the statement that writes the row of the work, within its transaction, and limits that.
   * @param isTold whether it returns a row, which costs the server as much as half of the writing.
   */
  insertWork(gid: string, { lockMs, totalMs }: BranchLimits, isTold: boolean): string {
    return `EXECUTE "${this.statementName(isTold)}" (${quoted(gid)}, '${lockMs}', '${totalMs}')`;
  }

  /**
   * Leaves a tombstone unless there is a row, and then reads the row. It waits for a running prepare. If the
   * branch is prepared in another database, a tombstone in this one would be false. All statements form one
   * transaction, and an error ends it. It writes in any case, so that its wait for the standbys covers all
   * earlier writes.
   */
  async leaveTombstone(client: ClientBase, gid: string, waitMs: number): Promise<BranchEnd | undefined> {
    const sql = [
      // In this session, perhaps only a transaction with READ WRITE may write.
      'SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE',
      `SET LOCAL lock_timeout = ${waitMs}`,
      // All columns, since a default may call a function that a search path found when the table was made.
      `INSERT INTO ${this.table} (gid, state, xid, written_at) SELECT ${quoted(gid)}, 'rolled-back', ` +
        `pg_catalog.pg_current_xact_id(), pg_catalog.now() WHERE NOT EXISTS ` +
        `(SELECT FROM pg_catalog.pg_prepared_xacts WHERE gid OPERATOR(pg_catalog.=) ${quoted(gid)} ` +
        `AND database OPERATOR(pg_catalog.<>) pg_catalog.current_database()) ON CONFLICT (gid) DO NOTHING`,
      REPLICATED_WRITE,
      `SELECT state FROM ${this.table} WHERE gid OPERATOR(pg_catalog.=) ${quoted(gid)}`,
    ].join('; ');
    return branchEndOf(await lastRowsOf(client, sql));
  }

  /** @returns how the branch ended, or undefined when there is no row. */
  async read(client: ClientBase, gid: string): Promise<BranchEnd | undefined> {
    const sql = `SELECT state FROM ${this.table} WHERE gid OPERATOR(pg_catalog.=) $1`;
    return branchEndOf(await rowsOf(client, sql, [gid]));
  }

  /**
   * Whether this same transaction has written the row of the work: then it is the one that was begun for the
   * branch.
   */
  async isWrittenHere(client: ClientBase, gid: string): Promise<boolean> {
    const rows = await rowsOf(
      client,
      `SELECT gid FROM ${this.table} WHERE gid OPERATOR(pg_catalog.=) $1 ` +
        `AND xid OPERATOR(pg_catalog.=) pg_catalog.pg_current_xact_id_if_assigned()`,
      [gid],
    );
    return rows.length === 1;
  }

  /**
   * @returns the SQL that creates the table. It has no index besides its key: another one would cost each
   * branch as much as the row itself.
   */
  create(): string {
    return (
      `CREATE TABLE IF NOT EXISTS ${this.table} (` +
      `gid text COLLATE "C" PRIMARY KEY, ` +
      `state text NOT NULL, ` +
      `xid xid8 NOT NULL DEFAULT pg_current_xact_id(), ` +
      `written_at timestamptz NOT NULL DEFAULT now())`
    );
  }

  /** @returns the number of pages of the table. */
  async pages(client: ClientBase): Promise<number> {
    const rows = await rowsOf<{ pages: string }>(
      client,
      `SELECT (pg_relation_size(to_regclass($1)) / current_setting('block_size')::int)::text AS pages`,
      [this.table],
    );
    return Number(rows[0]!.pages);
  }

  /**
   * @returns SQL that finds old rows of some pages, with these parameters: the least age in milliseconds, the
   * name of the participant, the names of coordinators, a snapshot in which the row must have been visible,
   * the first page, and the one after the last.
   */
  old(): string {
    return `SELECT gid FROM ${this.table} WHERE ${OLD}`;
  }

  /** @returns SQL that deletes those of them whose global ids are the seventh parameter. */
  purge(): string {
    return `DELETE FROM ${this.table} WHERE gid = ANY ($7) AND ${OLD}`;
  }
}

function statementNamesOf(table: string): { readonly told: string; readonly quiet: string } {
  const quiet = `dtc branch ${OWN_MARK} ${createHash('sha256').update(table).digest('hex').slice(0, 16)}`;
  return { told: `${quiet} told`, quiet };
}
