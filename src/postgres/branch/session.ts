import { type PoolClient, escapeLiteral } from 'pg';
import { rowsOf } from '../connection/own-queries.js';
import type { BranchLimits, GuardTable } from '../guard/table.js';
import type { ResolvedPostgresSettings } from '../options.js';
import { NamedTexts } from '../connection/named-texts.js';
import { OWN_MARK } from '../connection/own-names.js';
import { PreparedTexts } from '../connection/prepared-texts.js';
import { replicationLevel } from '../connection/replication.js';
import { sendScript } from '../connection/script.js';
import { codeOf } from '../sqlstate.js';

/** The result of the start-up checks of the server and the sessions that this participant gets. */
export interface ServerFacts {
  /** In the form of `server_version_num`. */
  readonly version: number;
  /** The role that the session assumes by itself, quoted; or `NONE` for the role of the login. */
  readonly role: string;
  /** The configured `synchronous_commit`, and the isolation level of a new session. */
  readonly synchronousCommit: string;
  readonly isolation: string;
  /** Whether transactions are read-only by default, `on` or `off`. */
  readonly readOnlyDefault: string;
  /** The configured time in milliseconds after which the server ends a transaction; 0 if it does not. */
  readonly transactionTimeout: string;
  /** Whether the login may assume another user's authorization: only a superuser may. */
  readonly isSuperuser: boolean;
}

/** The limits of the members of a group, at the server. */
export interface GroupLimits {
  readonly lockMs: number;
  /** When the whole group must have ended, in milliseconds after its transaction has begun. */
  readonly totalMs: number;
  /** Of a run that another one may fence: the name of the session. Otherwise empty. */
  readonly application: string;
}

/**
 * The column of the row that comes after the work of each member of a group: the milliseconds since the
 * transaction has begun. The work cannot know its name.
 */
export const MEMBER_MARK = `dtc_${OWN_MARK}_member`;

/** The statements for the guard row: with a row in return, and without. */
const BOTH: readonly boolean[] = [true, false];

const MARK_STATEMENT = `dtc mark ${OWN_MARK}`;

/** The known state of a connection's session. It is kept on the connection, for all its users. */
interface Session {
  /**
   * The owner whose settings the session has; undefined from the start of a branch until its session is
   * reset.
   */
  by?: BranchSessions | undefined;
  readOnly: boolean;
  /**
   * SQL that restores the settings that the session had before its first use, for example from a hook of the
   * pool.
   */
  given?: readonly string[];
  /** The names of our own prepared statements in the session. */
  readonly statements: Set<string>;
  readonly texts: PreparedTexts;
  readonly named: NamedTexts;
}

const SESSION = Symbol('session');

/**
 * `transaction_timeout` exists from PostgreSQL 17 on. It limits the whole transaction, and it alone limits
 * PREPARE TRANSACTION and COMMIT.
 */
const TRANSACTION_TIMEOUT_SINCE = 170_000;

/**
 * The delay between the deadline and the limits of the server. These limits are for the case that the
 * coordinator has gone. While it runs, it enforces the deadline itself.
 */
const GRACE_MS = 500;

/**
 * SQLSTATE `duplicate_prepared_statement`: the session has the statement, although this was unknown. Its name
 * is that of no other text.
 */
export const DUPLICATE_STATEMENT = '42P05';

/** The longest limit that can be set: the server stores the milliseconds in 31 bits. */
const LONGEST_MS = 2_147_483_647;

/**
 * The settings made with SET before, with their values as literals. The result is NULL, so no parser changes
 * it.
 */
const GIVEN_SETTINGS = `
  SELECT format('SELECT NULL FROM pg_catalog.set_config(%L, %L, false)', name, setting) AS sql FROM pg_catalog.pg_settings
  WHERE source = 'session' AND name NOT IN ('role', 'session_authorization')`;

/**
 * The sessions in which branches begin: each has the isolation level and the statement for the guard row.
 * Settings that the work of a branch makes in its session are undone before the session gets another branch.
 */
export class BranchSessions {
  /** The statements before the end of a transaction. */
  private readonly ends: readonly string[];

  constructor(
    private readonly guard: GuardTable,
    private readonly settings: ResolvedPostgresSettings,
    private readonly server: ServerFacts,
    /** Whether other code, such as a hook of the pool, may have changed settings in a session before. */
    private readonly hasHooks: boolean,
  ) {
    this.ends = [
      'SET CONSTRAINTS ALL IMMEDIATE',
      ...this.ownRole(),
      'SET LOCAL client_min_messages = warning',
      `SET LOCAL synchronous_commit = ${replicationLevel(server.synchronousCommit)}`,
    ];
  }

  /** @returns the limits of a branch, to be set with its guard row. @param remainingMs until its deadline. */
  limitsOf(remainingMs: number): BranchLimits {
    return {
      // Two branches that wait for each other in different databases should not give up at the same moment.
      lockMs: Math.ceil(this.settings.lockTimeoutMs * (0.5 + Math.random() / 2)),
      totalMs: Math.min(remainingMs + GRACE_MS, LONGEST_MS),
    };
  }

  /** Whether the reads of a branch count only when its transaction is committed. */
  get checksReads(): boolean {
    return this.settings.isolation === 'serializable';
  }

  /** Reads, once for each session, which settings it already has. */
  look(client: PoolClient): Promise<void> | undefined {
    const session = sessionOf(client);
    if (session.given !== undefined) return undefined;
    if (!this.hasHooks) {
      session.given = [];
      return undefined;
    }
    return rowsOf<{ sql: string }>(client, GIVEN_SETTINGS).then((rows) => {
      session.given = rows.map(({ sql }) => sql);
    });
  }

  /**
   * Makes a session ready for a branch. On a pipelined connection, statements may be sent behind this before it
   * has ended. They run even if it fails, so their result counts only when this has succeeded. From then on the
   * session counts as changed, until {@link afterEnd} or {@link undone} resets that.
   *
   * @param readOnly whether only a transaction with READ WRITE may write.
   * @returns undefined when nothing needs to be done, otherwise a promise of the end. @throws (as a
   * rejection) the error of the server.
   */
  ready(client: PoolClient, readOnly: boolean): Promise<void> | undefined {
    const session = sessionOf(client);
    const isReady = session.by === this && session.readOnly === readOnly;
    session.by = undefined;
    session.readOnly = readOnly;
    // Both, whichever the branch needs: if one is gone, the other is too, and that shows.
    const missing = BOTH.filter((isTold) => !session.statements.has(this.guard.statementName(isTold)));
    if (isReady && missing.length === 0) return undefined;
    const modes = isReady ? [] : [...this.reset(session), ...this.mode(session)];
    return this.makeReady(client, modes, missing);
  }

  /** Sends all at once on a pipelined connection. */
  private async makeReady(
    client: PoolClient,
    modes: readonly string[],
    missing: readonly boolean[],
  ): Promise<void> {
    const { statements } = sessionOf(client);
    const answers: Promise<void>[] = [];
    const scripts = [
      ...(modes.length === 0 ? [] : [{ sql: modes.join('; ') }]),
      ...missing.map((isTold): { sql: string; name?: string } => ({
        sql: this.guard.prepareInsert(this.limits, isTold),
        name: this.guard.statementName(isTold),
      })),
    ];
    for (const { sql, name } of scripts) {
      const answer = sendScript(client, sql).then(({ error }) => {
        if (error !== undefined && (name === undefined || codeOf(error) !== DUPLICATE_STATEMENT)) throw error;
        if (name !== undefined) statements.add(name);
      });
      if (!client.pipeline) await answer;
      answers.push(answer);
    }
    await Promise.all(answers);
  }

  /**
   * @returns the statements before the end of a transaction, which remove the settings of the work. Deferred
   * constraints are checked before, with the role and the search path of the work. The owner of the prepared
   * transaction is the role of the session. The server waits for its standbys, and reports when it does not.
   */
  beforeEnd(): readonly string[] {
    return this.ends;
  }

  /** @returns the statements that undo the settings of the work as a rollback would. */
  afterEnd(client: PoolClient): string[] {
    const session = sessionOf(client);
    return ['RESET ALL', ...(session.given ?? []), ...this.mode(session)];
  }

  /**
   * Makes a session ready for a group, besides {@link ready}. @returns undefined when nothing needs to be
   * done. @throws (as a rejection) the error of the server.
   */
  readyForGroup(client: PoolClient): Promise<void> | undefined {
    return prepareOwn(client, MARK_STATEMENT, () => this.prepareMark());
  }

  /**
   * @returns the statements behind the work of a member of a group. Its deferred constraints are checked, and
   * none of its settings reaches the next member. RESET ALL resets the limits of the library too, so the last
   * statement sets them again: the time of the whole group goes on. It returns the row {@link MEMBER_MARK}.
   */
  afterMember(client: PoolClient, { lockMs, totalMs, application }: GroupLimits): string[] {
    return [
      'SET CONSTRAINTS ALL IMMEDIATE',
      ...(this.server.isSuperuser ? ['SET SESSION AUTHORIZATION DEFAULT'] : []),
      'RESET ALL',
      ...(sessionOf(client).given ?? []),
      `EXECUTE "${MARK_STATEMENT}" ('${lockMs}', ${totalMs}, '${application}')`,
    ];
  }

  /** A statement for each of these would cost both sides more than all of them in one. */
  private prepareMark(): string {
    const role = unquoted(this.server.role);
    const left = `(GREATEST(1, pg_catalog.ceil($2 OPERATOR(pg_catalog.-) passed.ms))::pg_catalog.int8)::pg_catalog.text`;
    const settings = [
      set('role', escapeLiteral(role)),
      set('lock_timeout', '$1'),
      ...this.limits.map((name) => set(name, left)),
      `CASE $3 WHEN '' THEN '' ELSE ${set('application_name', '$3')} END`,
    ];
    return (
      `PREPARE "${MARK_STATEMENT}" (pg_catalog.text, pg_catalog.float8, pg_catalog.text) AS ` +
      `SELECT passed.ms::pg_catalog.text AS "${MEMBER_MARK}" FROM (SELECT 1000 OPERATOR(pg_catalog.*) extract(epoch FROM ` +
      `pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) pg_catalog.now())::pg_catalog.float8 AS ms OFFSET 0) AS passed ` +
      `WHERE pg_catalog.num_nulls(${settings.join(', ')}) OPERATOR(pg_catalog.>=) 0`
    );
  }

  /** The session holds nothing of the work any more: it was rolled back, or reset by {@link afterEnd}. */
  undone(client: PoolClient): void {
    sessionOf(client).by = this;
  }

  private reset({ given = [] }: Session): string[] {
    return [...this.ownRole(), 'RESET ALL', ...given];
  }

  private ownRole(): string[] {
    const { isSuperuser, role } = this.server;
    return [...(isSuperuser ? ['SET SESSION AUTHORIZATION DEFAULT'] : []), `SET ROLE ${role}`];
  }

  /** The settings that limit a transaction at the server. */
  private get limits(): readonly string[] {
    return this.server.version >= TRANSACTION_TIMEOUT_SINCE
      ? ['transaction_timeout']
      : ['statement_timeout', 'idle_in_transaction_session_timeout'];
  }

  /** After RESET ALL the settings are as configured, unless a hook of the pool has set them. */
  private mode({ given = [], readOnly }: Session): string[] {
    const { isolation } = this.settings;
    const { server } = this;
    const mode = readOnly ? 'on' : 'off';
    const isConfigured = given.length === 0;
    return [
      ...(isConfigured && isolation === server.isolation
        ? []
        : [`SET default_transaction_isolation = '${isolation}'`]),
      ...(isConfigured && mode === server.readOnlyDefault
        ? []
        : [`SET default_transaction_read_only = ${mode}`]),
      // The server does not shorten a limit that runs since the transaction began. So there is none until the
      // guard row.
      ...((isConfigured && server.transactionTimeout === '0') || server.version < TRANSACTION_TIMEOUT_SINCE
        ? []
        : ['SET transaction_timeout = 0']),
    ];
  }
}

/**
 * Resets what survives the end of a committed transaction besides settings. A prepared transaction can have
 * none of it.
 */
export const AFTER_COMMIT: readonly string[] = ['CLOSE ALL', 'UNLISTEN *', 'DISCARD TEMP'];

/** Releases the advisory locks of the session. */
export const UNLOCK = 'SELECT NULL FROM pg_catalog.pg_advisory_unlock_all()';

/** The session has lost its prepared statements, or they no longer fit. */
export function forgetStatements(client: PoolClient): void {
  const session = sessionOf(client);
  session.statements.clear();
  session.texts.clear();
  session.named.clear();
  // The cause may have reset more than the statements.
  session.by = undefined;
}

/** The names of the library's own prepared statements in a session. */
export function statementsOf(client: PoolClient): Set<string> {
  return sessionOf(client).statements;
}

/**
 * Prepares a statement of the library's own in a session.
 *
 * @param sql gives the statement that prepares it.
 * @returns undefined when the session has it. @throws (as a rejection) the error of the server.
 */
export function prepareOwn(client: PoolClient, name: string, sql: () => string): Promise<void> | undefined {
  const { statements } = sessionOf(client);
  if (statements.has(name)) return undefined;
  return sendScript(client, sql()).then(({ error }) => {
    if (error !== undefined && codeOf(error) !== DUPLICATE_STATEMENT) throw error;
    statements.add(name);
  });
}

/** The statements of batches that are prepared in a session. */
export function textsOf(client: PoolClient): PreparedTexts {
  return sessionOf(client).texts;
}

/** The statements of work that have names in a session. */
export function namedTextsOf(client: PoolClient): NamedTexts {
  return sessionOf(client).named;
}

/** @returns SQL that sets a setting for the transaction. @param value as SQL. */
function set(name: string, value: string): string {
  return `pg_catalog.set_config('${name}', ${value}, true)`;
}

/** @returns a name as it is, from what `quote_ident` makes of it; that of no role in lower case. */
function unquoted(role: string): string {
  if (role === 'NONE') return 'none';
  return role.startsWith('"') ? role.slice(1, -1).replaceAll('""', '"') : role;
}

function sessionOf(client: PoolClient): Session {
  const holder = client as PoolClient & { [SESSION]?: Session };
  holder[SESSION] ??= {
    readOnly: false,
    statements: new Set(),
    texts: new PreparedTexts(),
    named: new NamedTexts(),
  };
  return holder[SESSION];
}
