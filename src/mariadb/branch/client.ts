import type { Connection } from 'mysql2/promise';
import type { Session } from '../connection/session.js';
import { MariaDbBranchError } from '../errors.js';
import { controlsTransaction } from './transaction-control.js';

/** The connection that the work of one branch receives, and the end of its use. */
export interface BranchClient {
  readonly connection: Connection;
  /** Rejected when the work sends a statement that begins or ends a transaction. */
  readonly failed: Promise<never>;
  /**
   * Refuses every statement of the work from now on, as when the coordinator no longer waits for the branch.
   */
  readonly close: () => void;
}

/**
 * The members of a connection that the work may use besides its statements. None of them changes the session.
 */
const HARMLESS: ReadonlySet<string | symbol> = new Set([
  'escape',
  'escapeId',
  'format',
  'config',
  'threadId',
]);

/** These send a statement. */
const STATEMENTS: ReadonlySet<string | symbol> = new Set(['query', 'execute']);

/** The methods that an ORM calls for a transaction of its own, each with the statement that it would send. */
const CONTROLS: ReadonlyMap<string | symbol, string> = new Map([
  ['beginTransaction', 'BEGIN'],
  ['commit', 'COMMIT'],
  ['rollback', 'ROLLBACK'],
]);

/** Libraries release their connection after use. This one is released when its transaction has ended. */
const LEFT: ReadonlySet<string | symbol> = new Set(['release', 'end', 'destroy']);

/**
 * Lends a connection for the duration of its transaction. Work that forgets to await a statement and
 * continues after its vote would otherwise reach the next transaction of the connection, or none and be
 * committed by itself. Only what is listed here can be used: `changeUser`, `reset` and the connection below
 * the promises would end the transaction, or reach it without these checks.
 */
export function lend(session: Session, signal: AbortSignal): BranchClient {
  const { promise: failed, reject: fail } = Promise.withResolvers<never>();
  failed.catch(() => {});
  let isOver = false;
  const refusalOf = (statement: unknown): MariaDbBranchError | undefined => {
    if (isOver || signal.aborted) return workOver();
    const text = textOf(statement);
    if (text === undefined || !controlsTransaction(text)) return undefined;
    const refusal = transactionControl(text);
    fail(refusal);
    return refusal;
  };
  const send =
    (name: 'query' | 'execute') =>
    (statement: unknown, ...given: unknown[]): Promise<unknown> | undefined => {
      const last = given.at(-1);
      const values = typeof last === 'function' ? given.slice(0, -1) : given;
      const refusal = refusalOf(statement);
      const { connection } = session;
      const result =
        refusal === undefined
          ? (Reflect.apply(connection[name].bind(connection), undefined, [
              statement,
              ...values,
            ]) as Promise<unknown>)
          : Promise.reject(refusal);
      if (typeof last === 'function') return tell(result, last as Callback);
      // A result that the work does not await may fail without harm to the process.
      result.catch(() => {});
      return result;
    };
  const methods = new Map<string | symbol, unknown>([
    ['query', send('query')],
    ['execute', send('execute')],
  ]);
  const notes: Record<string | symbol, unknown> = {};
  const connection = new Proxy({} as Connection, {
    get: (_target, property) => {
      if (STATEMENTS.has(property)) return methods.get(property);
      const control = CONTROLS.get(property);
      if (control !== undefined) return () => send('query')(control);
      if (LEFT.has(property)) return () => Promise.resolve();
      if (!HARMLESS.has(property)) return notes[property];
      const value: unknown = Reflect.get(session.connection, property);
      return typeof value === 'function' ? (value.bind(session.connection) as unknown) : value;
    },
    // Query builders mark their connections. A mark stays with the branch.
    set: (_target, property, value) => {
      if (STATEMENTS.has(property) || CONTROLS.has(property) || LEFT.has(property) || HARMLESS.has(property))
        return false;
      notes[property] = value;
      return true;
    },
  });
  return {
    connection,
    failed,
    close: () => {
      isOver = true;
    },
  };
}

/** The arguments that query builders pass with a statement, as `mysql2` without promises takes them. */
type Callback = (error: unknown, ...answer: unknown[]) => void;

/**
 * An error of the callback itself is no answer of a statement: it is thrown as that of any other callback.
 */
function tell(result: Promise<unknown>, callback: Callback): undefined {
  result.then(
    (answer) => process.nextTick(callback, null, ...(answer as readonly unknown[])),
    (error: unknown) => process.nextTick(callback, error),
  );
}

/** @returns the text of a statement in any of its forms, if it has one. */
function textOf(statement: unknown): string | undefined {
  const text =
    typeof statement === 'string' ? statement : (statement as { sql?: unknown } | null | undefined)?.sql;
  return typeof text === 'string' ? text : undefined;
}

function workOver(): MariaDbBranchError {
  return new MariaDbBranchError(
    'DTC_MARIADB_WORK_OVER',
    'The work of this branch has ended, and its connection can no longer be used: await every statement before the vote.',
  );
}

function transactionControl(text: string): MariaDbBranchError {
  const [command] = /[a-z]\w*/i.exec(text) ?? [];
  return new MariaDbBranchError(
    'DTC_MARIADB_TRANSACTION_CONTROL',
    `The work sent ${command?.toUpperCase()}, which was not run: the transaction of the branch is open already, and the ` +
      'coordinator ends it. Remove the statement, or the transaction of the ORM that sends it; a savepoint may take its place.',
  );
}
