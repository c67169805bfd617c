import {
  type Branch,
  type LastResource,
  type LastResourceAnswer,
  branchKey,
} from '../../src/coordinator/index.js';

/** One statement of a transaction: its text and its values. It answers the rows. */
export type Sql = (text: string, values: readonly string[]) => Promise<readonly object[]>;

export interface Database {
  /** Runs the work in one transaction, which commits when the work resolves and rolls back when it rejects. */
  transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
}

/** MariaDB has `INSERT IGNORE` for the second one. */
const DECIDE = 'INSERT INTO decisions (branch, outcome) VALUES ($1, $2)';
const DECIDE_UNLESS_DECIDED = `${DECIDE} ON CONFLICT DO NOTHING`;
const DECISION = 'SELECT outcome FROM decisions WHERE branch = $1';

/** A participant on a database without two-phase commit. The work and a row that says so are in one local transaction. */
export abstract class SqlLastResource<P> implements LastResource<P> {
  constructor(private readonly database: Database) {}

  protected abstract work(sql: Sql, branch: Branch<P>): Promise<void>;

  async commit(branch: Branch<P>): Promise<LastResourceAnswer> {
    await this.database.transaction(async (sql) => {
      // First, so that a commit that comes after `never` fails before it does anything.
      await sql(DECIDE, [branchKey(branch), 'committed']);
      await this.work(sql, branch);
    });
    return 'committed';
  }

  async inquire(branch: Branch<P>): Promise<LastResourceAnswer> {
    const key = branchKey(branch);
    // If a commit is under way, this waits for its end.
    await this.database.transaction((sql) => sql(DECIDE_UNLESS_DECIDED, [key, 'never']));
    const [row] = await this.database.transaction((sql) => sql(DECISION, [key]));
    return (row as { outcome: LastResourceAnswer } | undefined)?.outcome ?? 'unknown';
  }
}
