import type { PoolClient } from 'pg';
import { rowsOf } from '../connection/own-queries.js';
import type { BranchLimits, GuardTable } from '../guard/table.js';
import type { ResolvedPostgresSettings } from '../options.js';
import { PreparedTexts } from '../connection/prepared-texts.js';
import { replicationLevel } from '../connection/replication.js';
import { sendScript } from '../connection/script.js';
import { codeOf } from '../sqlstate.js';

/** What the checks at the start have found out about the server, and the sessions that it gives to this participant. */
export interface ServerFacts {
  /** As `server_version_num` has it. */
  readonly version: number;
  /** The role that the session takes by itself, quoted; or `NONE` for that of the login. */
  readonly role: string;
  /** `synchronous_commit`, and the isolation level of a new session, as they are configured. */
  readonly synchronousCommit: string;
  readonly isolation: string;
  /** Whether transactions are read-only by default, `on` or `off`. */
  readonly readOnlyDefault: string;
  /** After so many milliseconds the server ends a transaction, as it is configured; 0 where it does not. */
  readonly transactionTimeout: string;
  /** Whether the login may take another user's authorization: only a superuser may. */
  readonly isSuperuser: boolean;
}

/** What is known of the session of a connection. It is kept on the connection, whoever uses it. */
interface Session {
  /** Whose settings it has, and no others; undefined from the start of a branch until its session is reset. */
  by?: BranchSessions | undefined;
  readOnly: boolean;
  /** SQL that sets again what was set in it before it was used first, as by a hook of the pool. */
  given?: readonly string[];
  /** The names of our own statements that are prepared in it. */
  readonly statements: Set<string>;
  readonly texts: PreparedTexts;
}

const SESSION = Symbol('session');

/** `transaction_timeout` is there from PostgreSQL 17 on; it bounds everything, and only it PREPARE TRANSACTION and COMMIT. */
const TRANSACTION_TIMEOUT_SINCE = 170_000;

/**
 * The limits of the server come at least so much after the deadline. They are for the case that the coordinator is gone:
 * as long as it is there, it is the one to say that time is up.
 */
const GRACE_MS = 500;

/** SQLSTATE `duplicate_prepared_statement`: it is there, though nobody knew. The next branch finds it. */
const DUPLICATE_STATEMENT = '42P05';

/** What the server is told is the longest, as it keeps the milliseconds in 31 bits. */
const LONGEST_MS = 2_147_483_647;

/** What was set with SET before, with its value as a literal. It is read as NULL, whatever parses results. */
const GIVEN_SETTINGS = `
  SELECT format('SELECT NULL FROM pg_catalog.set_config(%L, %L, false)', name, setting) AS sql FROM pg_catalog.pg_settings
  WHERE source = 'session' AND name NOT IN ('role', 'session_authorization')`;

/**
 * The sessions in which branches are begun: each has the isolation level and the statement for the guard row.
 * What the work of a branch sets in its session is undone before the session is given to another branch.
 */
export class BranchSessions {
  constructor(
    private readonly guard: GuardTable,
    private readonly settings: ResolvedPostgresSettings,
    private readonly server: ServerFacts,
    /** Whether something else may have set something in a session before, as a hook of the pool. */
    private readonly hasHooks: boolean,
  ) {}

  /** @returns the limits of a branch, to be set with its guard row. @param remainingMs until its deadline. */
  limitsOf(remainingMs: number): BranchLimits {
    return {
      // Two that wait for each other, in different databases, are not to give up at the same moment.
      lockMs: Math.ceil(this.settings.lockTimeoutMs * (0.5 + Math.random() / 2)),
      totalMs: Math.min(remainingMs + GRACE_MS, LONGEST_MS),
    };
  }

  /** Whether the reads of a branch count only when its transaction is committed. */
  get checksReads(): boolean {
    return this.settings.isolation === 'serializable';
  }

  /** Looks, once for each session, what is set in it already. */
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
   * Sees to it that a session is ready for a branch. What is sent behind it finds it so; a failure shows there as well.
   * From then on the session counts as changed, until {@link endOf} or {@link undone} says that it is not.
   *
   * @param readOnly whether only a transaction that says READ WRITE may write.
   * @returns undefined when nothing is to be done, else a promise of the end. @throws (as a rejection) what the server says.
   */
  ready(client: PoolClient, readOnly: boolean): Promise<void> | undefined {
    const session = sessionOf(client);
    const isReady = session.by === this && session.readOnly === readOnly;
    session.by = undefined;
    session.readOnly = readOnly;
    const { statementName } = this.guard;
    const sql = [
      ...(isReady ? [] : [...this.reset(session), ...this.mode(session)]),
      // It comes last: it stays also where something behind it fails.
      ...(session.statements.has(statementName) ? [] : [this.guard.prepareInsert(this.limits)]),
    ];
    if (sql.length === 0) return undefined;
    return sendScript(client, sql.join('; ')).then(({ error }) => {
      if (error === undefined || codeOf(error) === DUPLICATE_STATEMENT) session.statements.add(statementName);
      if (error !== undefined) throw error;
    });
  }

  /**
   * @returns the statements that come before the end of a transaction, so that nothing which the work has set is there any
   * more. What is deferred is checked while it is: by the role, and on the search path, of the work. The owner of what
   * is prepared is the role of the session. And the server waits for its standbys, and tells when it does not.
   */
  beforeEnd(): string[] {
    return [
      'SET CONSTRAINTS ALL IMMEDIATE',
      ...this.ownRole(),
      'SET LOCAL client_min_messages = warning',
      `SET LOCAL synchronous_commit = ${replicationLevel(this.server.synchronousCommit)}`,
    ];
  }

  /** @returns the statements that undo what the work has set, and a rollback would have undone. */
  afterEnd(client: PoolClient): string[] {
    const session = sessionOf(client);
    return ['RESET ALL', ...(session.given ?? []), ...this.mode(session)];
  }

  /** The session has nothing of the work any more: it was rolled back, or reset by {@link afterEnd}. */
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

  /** The settings that bound a transaction at the server. */
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
      // The server does not shorten a limit that runs since the transaction began: so there is none until the guard row.
      ...((isConfigured && server.transactionTimeout === '0') || server.version < TRANSACTION_TIMEOUT_SINCE
        ? []
        : ['SET transaction_timeout = 0']),
    ];
  }
}

/** What survives the end of a transaction that is committed, besides settings. What is prepared can have none of it. */
export const AFTER_COMMIT: readonly string[] = ['CLOSE ALL', 'UNLISTEN *', 'DISCARD TEMP'];

/** Releases the advisory locks of the session. */
export const UNLOCK = 'SELECT NULL FROM pg_catalog.pg_advisory_unlock_all()';

/** The session has lost the statements that were prepared in it, or they do not fit any more. */
export function forgetStatements(client: PoolClient): void {
  const session = sessionOf(client);
  session.statements.clear();
  session.texts.clear();
  // Whatever has dropped them may have reset more.
  session.by = undefined;
}

/** The statements of batches that are prepared in a session. */
export function textsOf(client: PoolClient): PreparedTexts {
  return sessionOf(client).texts;
}

function sessionOf(client: PoolClient): Session {
  const holder = client as PoolClient & { [SESSION]?: Session };
  holder[SESSION] ??= { readOnly: false, statements: new Set(), texts: new PreparedTexts() };
  return holder[SESSION];
}
