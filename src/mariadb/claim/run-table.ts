import type { CoordinatorRun } from '../../coordinator/participant/participant.js';
import type { KnownRun } from '../../sql/claim.js';
import type { Session } from '../connection/session.js';
import { messageOf } from '../../coordinator/gate/texts.js';
import { errnoOf, isDenied } from '../errno.js';
import { MariaDbStartUpError } from '../errors.js';
import { ASCII_BINARY, keyFaultOf, shapeOf } from '../guard/table-check.js';
import { qualify } from '../guard/table.js';
import type { ResolvedMariaDbSettings } from '../options.js';

const TEXT = (bytes: number): string => `varchar(${bytes}) CHARACTER SET ascii COLLATE ascii_bin NOT NULL`;

/** ER_NO_SUCH_TABLE. */
const MISSING = 1146;
/** ER_BAD_FIELD_ERROR. */
const NO_SUCH_COLUMN = 1054;

/**
 * The table of the runs that a database has accepted: for each coordinator, participant and decision log the
 * latest start of that log. A log that does not know this start was copied, or restored from a backup. A
 * table beside it lists the runs that hold a name now, each with the mark of its session.
 */
export class RunTable {
  /** Their names in SQL. */
  readonly runs: string;
  readonly live: string;
  /** Where the catalogue lists them. */
  private readonly place: string;
  private readonly name: string;
  private isReady = false;

  constructor(
    private readonly participant: string,
    private readonly settings: Pick<ResolvedMariaDbSettings, 'runTable' | 'guardTable' | 'createGuardTable'>,
    database: string,
  ) {
    const { runTable, guardTable } = settings;
    const [first = '', second] = runTable.split('.');
    const beside = guardTable.includes('.') ? guardTable.split('.')[0]! : database;
    [this.place, this.name] = second === undefined ? [beside, first] : [first, second];
    this.runs = qualify(this.place, this.name);
    this.live = qualify(this.place, `${this.name}_live`);
  }

  /**
   * Finds the tables, and creates them when they are missing.
   *
   * @throws MariaDbStartUpError (`DTC_MARIADB_RUN_TABLE`, `DTC_MARIADB_PRIVILEGES`) with what fixes it.
   */
  async find(session: Session): Promise<void> {
    if (this.isReady) return;
    if (!(await this.looksRight(session))) {
      await this.create(session);
      await this.looksRight(session);
    }
    this.isReady = true;
  }

  /** @returns the latest accepted start of this log, if there was one. */
  async latest(session: Session, { name, logId }: CoordinatorRun): Promise<KnownRun | undefined> {
    const [row] = await session.rows<{ epoch: string; token: string }>(
      `SELECT CAST(epoch AS CHAR) AS epoch, token FROM ${this.runs} WHERE coordinator = ? AND participant = ? AND log_id = ?`,
      [name, this.participant, logId],
    );
    return row && { epoch: Number(row.epoch), token: row.token };
  }

  /**
   * Lets a run in, in place of the latest before it, unless a later one is in. The name is held meanwhile.
   */
  async register(session: Session, run: CoordinatorRun): Promise<void> {
    const { name, logId, epoch, token } = run;
    await session.run(
      `INSERT INTO ${this.runs} (coordinator, participant, log_id, epoch, token) VALUES (?, ?, ?, ?, ?) ` +
        // The token comes first: it compares the epoch that was there before.
        'ON DUPLICATE KEY UPDATE token = IF(VALUES(epoch) > epoch, VALUES(token), token), ' +
        'started_at = IF(VALUES(epoch) > epoch, current_timestamp(3), started_at), epoch = GREATEST(epoch, VALUES(epoch))',
      [name, this.participant, logId, epoch, token],
    );
  }

  /** @returns the SQL that creates the tables, one statement each. */
  createSql(): string[] {
    const key = `coordinator ${TEXT(64)}, participant ${TEXT(64)}, log_id ${TEXT(32)}, epoch int unsigned NOT NULL, token ${TEXT(64)}`;
    return [
      `CREATE TABLE IF NOT EXISTS ${this.runs} (${key}, started_at timestamp(3) NOT NULL DEFAULT current_timestamp(3), ` +
        'PRIMARY KEY (coordinator, participant, log_id)) ENGINE=InnoDB',
      `CREATE TABLE IF NOT EXISTS ${this.live} (${key}, is_shared tinyint NOT NULL, is_durable tinyint NOT NULL, ` +
        `session_mark ${TEXT(64)}, host varchar(64) NOT NULL, ` +
        'PRIMARY KEY (coordinator, participant, log_id, epoch, session_mark)) ENGINE=InnoDB',
    ];
  }

  /** @returns false when a table is missing. */
  private async looksRight(session: Session): Promise<boolean> {
    try {
      await session.rows(
        `SELECT coordinator, participant, log_id, epoch, token, started_at FROM ${this.runs} LIMIT 0`,
      );
      await session.rows(
        `SELECT coordinator, participant, log_id, epoch, token, is_shared, is_durable, session_mark, host FROM ${this.live} LIMIT 0`,
      );
    } catch (error) {
      if (errnoOf(error) === MISSING) return false;
      if (errnoOf(error) === NO_SUCH_COLUMN) {
        throw this.failure(
          'DTC_MARIADB_RUN_TABLE',
          `${this.runs} or ${this.live} is another table`,
          'Rename it, or choose another name with the option runTable.',
          error,
        );
      }
      if (errnoOf(error) === undefined) throw error;
      if (!isDenied(error)) {
        throw this.failure(
          'DTC_MARIADB_RUN_TABLE',
          `the tables ${this.runs} and ${this.live} cannot be read: ${messageOf(error)} (${errnoOf(error)})`,
          'Make them readable, and start again.',
          error,
        );
      }
      throw this.failure(
        'DTC_MARIADB_PRIVILEGES',
        `its user may not use the tables ${this.runs} and ${this.live} (${errnoOf(error)})`,
        `Run this as an administrator: ${await this.grants(session)}`,
        error,
      );
    }
    await this.checkKeys(session);
    return true;
  }

  /** Names that differ in case must not share a row. */
  private async checkKeys(session: Session): Promise<void> {
    for (const [table, name, more] of [
      [this.runs, this.name, []],
      [this.live, `${this.name}_live`, ['epoch', 'session_mark']],
    ] as const) {
      const shape = await shapeOf(session, this.place, name);
      const fault =
        shape &&
        keyFaultOf(table, shape, ['coordinator', 'participant', 'log_id', ...more], {
          coordinator: ASCII_BINARY,
          participant: ASCII_BINARY,
          log_id: ASCII_BINARY,
          token: ASCII_BINARY,
          session_mark: ASCII_BINARY,
        });
      if (fault) throw this.failure('DTC_MARIADB_RUN_TABLE', fault.problem, fault.remedy);
    }
  }

  private async create(session: Session): Promise<void> {
    const sql = `${this.createSql().join('; ')}; ${await this.grants(session)}`;
    if (!this.settings.createGuardTable) {
      throw this.failure(
        'DTC_MARIADB_RUN_TABLE',
        `the tables ${this.runs} and ${this.live} are missing`,
        `Run this: ${sql}`,
      );
    }
    try {
      for (const statement of this.createSql()) await session.run(statement);
    } catch (error) {
      throw this.failure(
        'DTC_MARIADB_RUN_TABLE',
        `the tables ${this.runs} and ${this.live} are missing, and its user could not create them (${errnoOf(error) ?? String(error)})`,
        `Run this as a user that may: ${sql}`,
        error,
      );
    }
  }

  private async grants(session: Session): Promise<string> {
    const account = await session.account();
    return [this.runs, this.live]
      .map((table) => `GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO ${account};`)
      .join(' ');
  }

  private failure(
    code: MariaDbStartUpError['code'],
    problem: string,
    remedy: string,
    cause?: unknown,
  ): MariaDbStartUpError {
    return new MariaDbStartUpError(code, this.participant, problem, remedy, { cause });
  }
}
