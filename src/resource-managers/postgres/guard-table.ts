import type { ClientBase } from 'pg';
import type { PreparedStatement } from './burst.js';
import { quoted } from './gid.js';

/** How a branch ended, as its row in the guard table says. */
export type BranchEnd = 'committed' | 'rolled-back';

/**
 * The guard table has one row a branch. Its row `committed` is written in the transaction of the work, so that it is seen
 * if and only if the branch is committed: it is the proof. A rollback leaves a row `rolled-back` that is committed by
 * itself, the tombstone: as both have the same key, either the work is prepared or the tombstone is there, and never both.
 */
export class GuardTable {
  /** @param name checked to be a plain identifier, with or without its schema. */
  constructor(readonly name: string) {}

  /** What the statement that writes the row of the work is called in a session. */
  get statementName(): string {
    return `dtc branch of ${this.name}`;
  }

  /**
   * @returns SQL that prepares that statement: to plan it anew for each branch costs more than to run it. It names all
   * columns, as their defaults would be read anew each time.
   */
  prepareInsert(): string {
    return (
      `PREPARE "${this.statementName}" (text) AS INSERT INTO ${this.name} (gid, state, xid, written_at) ` +
      `VALUES ($1, 'committed', pg_current_xact_id(), now())`
    );
  }

  /** @returns the statement that writes the row of the work, within its transaction. */
  insertWork(gid: string): PreparedStatement {
    const name = this.statementName;
    return { name, values: [gid], text: `EXECUTE "${name}" (${quoted(gid)})` };
  }

  /**
   * @returns SQL that leaves a tombstone unless there is a row, and reads the row that is there then. It waits for a
   * prepare that is under way. Where the branch is prepared in another database, a tombstone in this one would be a lie.
   * Sent as one query it is one transaction, and an error ends it.
   */
  bury(gid: string, waitMs: number): string {
    return [
      // The session may be one in which only a transaction that says so writes.
      'SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE',
      `SET LOCAL lock_timeout = ${waitMs}`,
      `INSERT INTO ${this.name} (gid, state) SELECT ${quoted(gid)}, 'rolled-back' WHERE NOT EXISTS ` +
        `(SELECT FROM pg_prepared_xacts WHERE gid = ${quoted(gid)} AND database <> current_database()) ` +
        `ON CONFLICT (gid) DO NOTHING`,
      `SELECT state FROM ${this.name} WHERE gid = ${quoted(gid)}`,
    ].join('; ');
  }

  /** @returns how the branch ended, or undefined when there is no row. */
  async read(client: ClientBase, gid: string): Promise<BranchEnd | undefined> {
    const { rows } = await client.query<{ state: BranchEnd }>(
      `SELECT state FROM ${this.name} WHERE gid = $1`,
      [gid],
    );
    return rows[0]?.state;
  }

  /** Whether this very transaction has written the row of the work: then it is the one that was begun for the branch. */
  async isWrittenHere(client: ClientBase, gid: string): Promise<boolean> {
    const { rowCount } = await client.query(
      `SELECT FROM ${this.name} WHERE gid = $1 AND xid = pg_current_xact_id_if_assigned()`,
      [gid],
    );
    return rowCount === 1;
  }

  /**
   * @returns the SQL that makes the table. It has no other index than its key, which would cost each branch as much as
   * the row itself.
   */
  create(): string {
    return (
      `CREATE TABLE IF NOT EXISTS ${this.name} (` +
      `gid text COLLATE "C" PRIMARY KEY, ` +
      `state text NOT NULL, ` +
      `xid xid8 NOT NULL DEFAULT pg_current_xact_id(), ` +
      `written_at timestamptz NOT NULL DEFAULT now())`
    );
  }

  /** @returns of how many pages the table is. */
  async pages(client: ClientBase): Promise<number> {
    const { rows } = await client.query<{ pages: string }>(
      `SELECT pg_relation_size(to_regclass($1)) / current_setting('block_size')::int AS pages`,
      [this.name],
    );
    return Number(rows[0]!.pages);
  }

  /**
   * @returns SQL that deletes old rows of some pages, with these parameters: the least age in milliseconds, the name of
   * the participant, the names of coordinators, a snapshot in which the row must have been visible, the first page, and the
   * one after the last.
   */
  purge(): string {
    return (
      `DELETE FROM ${this.name} WHERE ctid >= format('(%s,0)', $5::bigint)::tid AND ctid < format('(%s,0)', $6::bigint)::tid ` +
      `AND written_at < now() - $1 * interval '1 millisecond' AND split_part(gid, '/', 2) = $2 ` +
      `AND split_part(gid, '.', 1) = ANY ($3) AND pg_visible_in_snapshot(xid, $4::pg_snapshot)`
    );
  }
}
