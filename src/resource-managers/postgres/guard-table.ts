import type { ClientBase } from 'pg';
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

  /** @returns SQL that writes the row of the work, within its transaction. */
  insertWork(gid: string): string {
    return `INSERT INTO ${this.name} (gid, state) VALUES (${quoted(gid)}, 'committed')`;
  }

  /**
   * @returns SQL that leaves a tombstone unless there is a row, and reads the row that is there then. It waits for a
   * prepare that is under way. Where the branch is prepared in another database, a tombstone in this one would be a lie.
   * Sent as one query it is one transaction, and an error ends it.
   */
  bury(gid: string, waitMs: number): string {
    return [
      'SET TRANSACTION ISOLATION LEVEL READ COMMITTED',
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

  /** @returns the first global id of a participant that lies between the two, or begins with the latter. */
  async firstBetween(client: ClientBase, participant: string, from: string, to: string): Promise<string[]> {
    const { rows } = await client.query<{ gid: string }>(
      `SELECT gid FROM ${this.name} WHERE gid COLLATE "C" >= $1 AND gid COLLATE "C" <= $2 ` +
        `AND split_part(gid, '/', 2) = $3 ORDER BY gid COLLATE "C" LIMIT 1`,
      [from, `${to}~`, participant],
    );
    return rows.map(({ gid }) => gid);
  }

  /** @returns the SQL that makes the table. */
  create(): string[] {
    const index = `${this.name.split('.').at(-1)}_written_at`;
    return [
      `CREATE TABLE IF NOT EXISTS ${this.name} (` +
        `gid text COLLATE "C" PRIMARY KEY, ` +
        `state text NOT NULL CHECK (state IN ('committed', 'rolled-back')), ` +
        `xid xid8 NOT NULL DEFAULT pg_current_xact_id(), ` +
        `written_at timestamptz NOT NULL DEFAULT now())`,
      `CREATE INDEX IF NOT EXISTS ${index} ON ${this.name} (written_at)`,
    ];
  }

  /**
   * @returns SQL that deletes old rows, with these parameters: the least age in milliseconds, the name of the
   * participant, the names of coordinators, a snapshot in which the row must have been visible, and the most rows.
   */
  purge(): string {
    return (
      `DELETE FROM ${this.name} WHERE gid IN (SELECT gid FROM ${this.name} ` +
      `WHERE written_at < now() - $1 * interval '1 millisecond' AND split_part(gid, '/', 2) = $2 ` +
      `AND split_part(gid, '.', 1) = ANY ($3) AND pg_visible_in_snapshot(xid, $4::pg_snapshot) ` +
      `ORDER BY written_at LIMIT $5)`
    );
  }
}
