import type { PoolClient } from 'pg';
import type { GuardTable } from './guard-table.js';
import type { ResolvedPostgresSettings } from './options.js';
import { PreparedTexts } from './prepared-texts.js';
import { codeOf } from './sqlstate.js';

/** What is known of the session of a connection. It is kept on the connection, whoever uses it. */
interface Session {
  /** Whose settings it has, and undefined when nobody knows. */
  by?: BranchSessions | undefined;
  /** After so long the server ends a transaction by itself, in milliseconds. */
  limitMs: number;
  readOnly: boolean;
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

/** A limit may be so many times what it must be at least: then it need not be set anew for almost every branch. */
const SLACK = 2;

/** SQLSTATE `duplicate_prepared_statement`: it is there, though nobody knew. The next branch finds it. */
const DUPLICATE_STATEMENT = '42P05';

/** What the server is told is the longest, as it keeps the milliseconds in 31 bits. */
const LONGEST_MS = 2_147_483_647;

/**
 * The sessions in which branches are begun: each has its limits, the isolation level and the statement for the guard row.
 * They are set once for a connection, and not for each branch, as that cost as much as the work of a small one.
 */
export class BranchSessions {
  constructor(
    private readonly guard: GuardTable,
    private readonly settings: ResolvedPostgresSettings,
    private readonly serverVersion: number,
  ) {}

  /**
   * Sees to it that a session is ready for a branch. What is sent behind it finds it so; a failure shows there as well.
   *
   * @param remainingMs until the deadline of the branch.
   * @param readOnly whether only a transaction that says READ WRITE may write.
   * @returns undefined when nothing is to be done, else a promise of the end. @throws (as a rejection) what the server says.
   */
  ready(client: PoolClient, remainingMs: number, readOnly: boolean): Promise<void> | undefined {
    const session = sessionOf(client);
    const leastMs = Math.min(remainingMs + GRACE_MS, LONGEST_MS);
    const isLimited = session.by === this && session.limitMs >= leastMs && session.limitMs <= SLACK * leastMs;
    const limitMs = isLimited
      ? session.limitMs
      : Math.min(Math.ceil((leastMs * (1 + SLACK)) / 2), LONGEST_MS);
    const { statementName } = this.guard;
    const sql = [
      ...(isLimited ? [] : this.limits(limitMs)),
      ...(isLimited && session.readOnly === readOnly
        ? []
        : [`SET default_transaction_read_only = ${readOnly}`]),
      // It comes last: it stays also where something behind it fails.
      ...(session.statements.has(statementName) ? [] : [this.guard.prepareInsert()]),
    ];
    if (sql.length === 0) return undefined;
    return client.query(sql.join('; ')).then(
      () => {
        Object.assign(session, { by: this, limitMs, readOnly });
        session.statements.add(statementName);
      },
      (error: unknown) => {
        session.by = undefined;
        if (codeOf(error) === DUPLICATE_STATEMENT) session.statements.add(statementName);
        throw error;
      },
    );
  }

  private limits(limitMs: number): string[] {
    const { isolation, lockTimeoutMs } = this.settings;
    // Two that wait for each other, in different databases, are not to give up at the same moment.
    const lockMs = Math.ceil(lockTimeoutMs * (0.5 + Math.random() / 2));
    const limits =
      this.serverVersion >= TRANSACTION_TIMEOUT_SINCE
        ? ['transaction_timeout']
        : ['statement_timeout', 'idle_in_transaction_session_timeout'];
    return [
      `SET lock_timeout = ${lockMs}`,
      ...limits.map((limit) => `SET ${limit} = ${limitMs}`),
      `SET default_transaction_isolation = '${isolation}'`,
    ];
  }
}

/** The work has set something in its session: nobody knows any more what is set. */
export function forgetSettings(client: PoolClient): void {
  sessionOf(client).by = undefined;
}

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
  holder[SESSION] ??= { limitMs: 0, readOnly: false, statements: new Set(), texts: new PreparedTexts() };
  return holder[SESSION];
}
