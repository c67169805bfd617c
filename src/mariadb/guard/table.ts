import { type BranchEnd, branchEndOf } from '../../sql/guard.js';
import type { Session } from '../connection/session.js';
import { meaningOf } from '../errno.js';

/** ER_DUP_ENTRY. */
const DUPLICATE = 1062;

/**
 * The guard table of a database, which keeps the contract of {@link BranchEnd}: the statements that write and
 * read it. Every statement names the table with its database, since the work may choose another one.
 */
export class GuardTable {
  private found: string;

  /** @param name checked to be a plain identifier, with or without its database. */
  constructor(readonly name: string) {
    this.found = quote(name);
  }

  /** Its name in SQL. */
  get table(): string {
    return this.found;
  }

  /** From now on every statement names the database as well. */
  resolveTo(database: string): void {
    this.found = qualify(database, this.name);
  }

  /**
   * @returns SQL that writes the row of the work, within its transaction.
   * @param mark of the session, by which others can end it.
   */
  insertWork(gid: string, mark: string): string {
    return `INSERT INTO ${this.found} (gid, state, session_mark) VALUES ('${gid}', 'committed', '${mark}')`;
  }

  /**
   * Leaves a tombstone unless there is a row, and then reads the row. It waits for the transaction that holds
   * the row of the work, at most `waitMs`.
   *
   * @throws the error of the server when that transaction has not ended by then.
   */
  async leaveTombstone(session: Session, gid: string, waitMs: number): Promise<BranchEnd | undefined> {
    try {
      await session.run(
        `SET STATEMENT max_statement_time = ${waitMs / 1_000}, innodb_lock_wait_timeout = ${Math.ceil(waitMs / 1_000)} ` +
          `FOR INSERT INTO ${this.found} (gid, state) VALUES ('${gid}', 'rolled-back')`,
      );
      return 'rolled-back';
    } catch (error) {
      if ((error as { errno?: number }).errno !== DUPLICATE) throw error;
      return this.read(session, gid);
    }
  }

  /** @returns how the branch ended, or undefined when there is no row that is committed. */
  async read(session: Session, gid: string): Promise<BranchEnd | undefined> {
    // The work may have set a limit of rows for its session.
    return branchEndOf(await session.rows(`SELECT state FROM ${this.found} WHERE gid = '${gid}' LIMIT 1`));
  }

  /**
   * Reads the row with its lock, so that a transaction that is about to end is waited for.
   *
   * @throws the error of the server when that has not ended after `waitMs`.
   */
  async readAtLast(session: Session, gid: string, waitMs: number): Promise<BranchEnd | undefined> {
    const rows = await session.rows<{ state: string }>(
      `SET STATEMENT max_statement_time = ${waitMs / 1_000}, innodb_lock_wait_timeout = ${Math.ceil(waitMs / 1_000)} ` +
        `FOR SELECT state FROM ${this.found} WHERE gid = '${gid}' LOCK IN SHARE MODE`,
    );
    return branchEndOf(rows);
  }

  /** @returns the mark of the session that has written the row, also before its transaction has ended. */
  async markOf(session: Session, gid: string): Promise<string | undefined> {
    await session.run('SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED');
    const [row] = await session.rows<{ mark: string | null }>(
      `SELECT session_mark AS mark FROM ${this.found} WHERE gid = '${gid}'`,
    );
    return row?.mark ?? undefined;
  }

  /** @returns the SQL that creates the table. */
  create(): string {
    return (
      `CREATE TABLE IF NOT EXISTS ${this.found} (` +
      `gid varchar(129) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY, ` +
      `state varchar(11) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, ` +
      `session_mark varchar(64) CHARACTER SET ascii COLLATE ascii_bin NULL, ` +
      `written_at timestamp(3) NOT NULL DEFAULT current_timestamp(3)) ENGINE=InnoDB`
    );
  }
}

/** Whether an error says that another transaction still holds the row of the branch. */
export function isHeld(error: unknown): boolean {
  return meaningOf(error, 'begin') === 'held';
}

/** @returns an identifier in SQL. It may have any characters. */
export function quoteName(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}

/** @param name a plain name, with its database or without. */
export function quote(name: string): string {
  return name.split('.').map(quoteName).join('.');
}

/** @returns a plain name in SQL, with its own database or else the given one. */
export function qualify(database: string, name: string): string {
  return name.includes('.') ? quote(name) : `${quoteName(database)}.${quoteName(name)}`;
}
