import type { CustomTypesConfig, PoolClient, QueryConfig } from 'pg';
import { literalOf } from '../connection/literals.js';
import type { NamedText, NamedTexts } from '../connection/named-texts.js';
import { PostgresBranchError } from '../errors.js';
import { execute } from './batch-text.js';
import type { Opening } from './opening.js';
import { type TransactionWatch, controlsTransaction } from './transaction-watch.js';

/** The client that the work of one branch receives, and the end of its use. */
export interface BranchClient {
  readonly client: PoolClient;
  /** Whether something that was sent may not be answered yet. */
  readonly isBusy: boolean;
  /** Whether the work received an error of the database. */
  readonly hasFailed: boolean;
  /** Whether a statement's text suggests that it takes an advisory lock for the session. */
  readonly mayLock: boolean;
  /**
   * Rejected when a callback of the work throws, as there is no caller that would hear of it otherwise, and
   * when the work sends a statement that begins or ends a transaction.
   */
  readonly failed: Promise<never>;
  /** Refuses every query of the work from now on, as when the coordinator no longer waits for the branch. */
  readonly close: () => void;
}

type Callback = (error: unknown, result?: unknown) => void;

/** A query that is sent as an object: a `Query` of pg, a cursor, a stream. */
interface SubmittedQuery {
  readonly submit: unknown;
  callback?: Callback;
  on?: (event: 'error' | 'end', listener: (answer: unknown) => void) => unknown;
  emit?: (event: string, ...args: unknown[]) => boolean;
}

type Listener = (...args: unknown[]) => void;

/** A statement of the work whose text has a name in the session. */
interface NamedChange extends NamedText {
  readonly text: string;
  readonly values: unknown[];
}

const ADVISORY = /advisory/i;
const LISTENING: ReadonlySet<unknown> = new Set([
  'on',
  'once',
  'addListener',
  'prependListener',
  'prependOnceListener',
]);

/**
 * Lends a connection for the duration of its transaction. Work that forgets to await a query and continues
 * after its vote would otherwise reach the next transaction of the connection, or none and be committed by
 * itself. Changes of the work to the client object, such as listeners or type parsers, end with the loan.
 *
 * @param named gives names to repeated changes; without it every statement is sent as it is.
 * @param opening is sent before anything that the work does with the client; without it the transaction is
 * open.
 */
export function lend(
  client: PoolClient,
  signal: AbortSignal,
  watch: TransactionWatch,
  named: NamedTexts | undefined,
  opening: Opening | undefined,
): BranchClient {
  return new Loan(client, signal, watch, named, opening);
}

class Loan implements BranchClient {
  readonly client: PoolClient;
  readonly failed: Promise<never>;
  mayLock = false;
  hasFailed = false;
  private fail!: (error: unknown) => void;
  private isOver = false;
  private unanswered = 0;
  /** The properties that the work has set on the client, and the methods that were bound for it. */
  private readonly own = new Map<unknown, unknown>();
  private readonly undo: (() => void)[] = [];

  constructor(
    private readonly target: PoolClient,
    private readonly signal: AbortSignal,
    private readonly watch: TransactionWatch,
    private readonly named: NamedTexts | undefined,
    private readonly opening: Opening | undefined,
  ) {
    this.failed = new Promise((_resolve, reject) => {
      this.fail = reject;
    });
    this.failed.catch(ignore);
    this.client = new Proxy(target, {
      get: (_target, property) => this.get(property),
      set: (_target, property, value) => {
        this.own.set(property, value);
        return true;
      },
    });
  }

  get isBusy(): boolean {
    return this.unanswered > 0;
  }

  readonly close = (): void => {
    this.isOver = true;
    for (const undo of this.undo.splice(0).toReversed()) undo();
  };

  private get(property: string | symbol): unknown {
    if (property === 'query' && !this.own.has('query')) return this.query;
    this.opening?.send();
    if (this.own.has(property)) return this.own.get(property);
    if (property === 'release' || property === 'end') return leaveIt;
    const { target } = this;
    const value: unknown = Reflect.get(target, property, target);
    if (typeof value !== 'function') return value;
    const method = LISTENING.has(property)
      ? this.listening(value as Listener)
      : property === 'setTypeParser'
        ? this.setTypeParser
        : (value.bind(target) as unknown);
    this.own.set(property, method);
    return method;
  }

  /** Each form in which `pg` accepts a query reports errors in its own way. */
  private readonly query = (...args: unknown[]): unknown => {
    const [config, values, last] = args;
    const refusal = this.refusalOf(config);
    if (isSubmitted(config)) return this.submit(config, values, last, refusal);
    const at = args.findIndex((arg) => typeof arg === 'function');
    const given = at === -1 ? (config as { callback?: unknown } | null | undefined)?.callback : args[at];
    if (typeof given !== 'function') {
      // A result that the work does not await may fail without harm: the branch that it belongs to fails
      // then.
      if (refusal !== undefined) return handled(Promise.reject(refusal));
      const known = this.namedOf(args);
      const result = (
        known === undefined ? this.send(args) : (this.sendOpening(known) ?? this.send([queryOf(known)]))
      ) as Promise<unknown>;
      result.then(
        (answer: unknown) => {
          if (known !== undefined) this.named?.succeeded(known.text);
          this.answered(answer);
        },
        (error: unknown) => {
          if (known !== undefined) this.named?.failed(known.text, error);
          this.answeredWithError(config);
        },
      );
      return result;
    }
    const callback = this.guarded(given as Callback);
    if (refusal !== undefined) {
      process.nextTick(callback, refusal);
      return undefined;
    }
    const told: Callback = (error, result) => {
      if (error) this.answeredWithError(config);
      else this.answered(result);
      callback(error, result);
    };
    return this.send(at === -1 ? [{ ...(config as object), callback: told }, values] : args.with(at, told));
  };

  /** @returns why a query is not sent, or undefined if it is. */
  private refusalOf(config: unknown): PostgresBranchError | undefined {
    if (this.isOver || this.signal.aborted) return workOver();
    const text = textOf(config);
    if (text === undefined || !controlsTransaction(text)) return undefined;
    const refusal = transactionControl(text);
    this.fail(refusal);
    return refusal;
  }

  /**
   * @returns a statement and the name of its text. Undefined if it has none, if it is more than a text and
   * its values, or if the work has changed the prepared statements of the session.
   */
  private namedOf([config, values]: readonly unknown[]): NamedChange | undefined {
    const { named } = this;
    if (named === undefined || this.watch.isSpoiling) return undefined;
    const given = typeof config === 'string' ? { text: config, values } : values === undefined && config;
    if (!isTextWithValues(given)) return undefined;
    const as = named.nameOf(given.text);
    return as === undefined ? undefined : { ...as, text: given.text, values: given.values };
  }

  /** @returns undefined unless the transaction is opened by the same query as the statement. */
  private sendOpening({ name, isThere, text, values }: NamedChange): Promise<unknown> | undefined {
    const literals = this.opening !== undefined && isThere ? literalsOf(values) : undefined;
    const result = literals && this.opening?.sendWith(execute(name, literals));
    if (result === undefined) return undefined;
    this.mayLock ||= ADVISORY.test(text);
    this.unanswered++;
    return result;
  }

  private send(args: unknown[]): unknown {
    this.opening?.send();
    const [config] = args;
    const text = textOf(config);
    this.mayLock ||= text !== undefined && ADVISORY.test(text);
    const result: unknown = Reflect.apply(this.target.query.bind(this.target), undefined, args);
    this.unanswered++;
    return result;
  }

  private readonly answered = (result: unknown): void => {
    this.unanswered--;
    this.watch.see(result);
  };

  private answeredWithError(config: unknown): void {
    this.hasFailed = true;
    this.unanswered--;
    this.watch.seeNothing(textOf(config));
  }

  /** Of such a query it is not known when it is answered: so the loan stays busy. */
  private submit(
    query: SubmittedQuery,
    values: unknown,
    last: unknown,
    refusal: PostgresBranchError | undefined,
  ): unknown {
    const given = query.callback ?? [values, last].find((arg) => typeof arg === 'function');
    if (typeof given === 'function') {
      const callback = this.guarded(given as Callback);
      query.callback = (error, result) => {
        if (error) this.watch.seeNothing(textOf(query));
        else this.watch.see(result);
        callback(error, result);
      };
    }
    if (query.emit !== undefined) query.emit = this.guardedEmit(query.emit.bind(query));
    // An error event without a listener would end the process.
    query.on?.('error', () => this.watch.seeNothing(textOf(query)));
    query.on?.('end', this.watch.see);
    if (refusal === undefined) {
      if (query.on === undefined && query.callback === undefined) this.watch.seeNothing(undefined);
      return this.send([query]);
    }
    process.nextTick(() => {
      if (query.callback !== undefined) query.callback(refusal);
      else query.emit?.('error', refusal);
    });
    return query;
  }

  /** An error of a callback fails the work, not the process. After the end of the work it has no effect. */
  private guarded(callback: Callback): Callback {
    return (error, result) => {
      try {
        callback(error, result);
      } catch (thrown) {
        this.fail(thrown);
      }
    };
  }

  /** The same for listeners to the events of a query. */
  private guardedEmit(emit: (event: string, ...args: unknown[]) => boolean) {
    return (event: string, ...args: unknown[]): boolean => {
      try {
        return emit(event, ...args);
      } catch (thrown) {
        this.fail(thrown);
        return true;
      }
    };
  }

  private listening(method: Listener): Listener {
    return (event, listener) => {
      method.call(this.target, event, listener);
      this.undo.push(() => this.target.off(event as string, listener as Listener));
      return this.client;
    };
  }

  private readonly setTypeParser = (oid: number, ...rest: unknown[]): void => {
    const types = this.target as unknown as CustomTypesConfig & {
      setTypeParser: (oid: number, format: string, parse: unknown) => void;
    };
    const format = rest.length > 1 ? (rest[0] as 'text') : 'text';
    const before: unknown = types.getTypeParser(oid, format);
    types.setTypeParser(oid, format, rest.at(-1));
    this.undo.push(() => types.setTypeParser(oid, format, before));
  };
}

function isSubmitted(query: unknown): query is SubmittedQuery {
  return typeof (query as SubmittedQuery | null | undefined)?.submit === 'function';
}

function isTextWithValues(given: unknown): given is { readonly text: string; readonly values: unknown[] } {
  if (typeof given !== 'object' || given === null) return false;
  const { text, values, ...more } = given as Record<string, unknown>;
  return (
    typeof text === 'string' && Array.isArray(values) && values.length > 0 && Object.keys(more).length === 0
  );
}

function queryOf({ name, text, values }: NamedChange): QueryConfig {
  return { name, text, values };
}

/** @returns undefined if `pg` must send a value itself, or report that it cannot. */
function literalsOf(values: readonly unknown[]): string[] | undefined {
  const literals: string[] = [];
  for (const value of values) {
    let literal: string | undefined;
    try {
      literal = literalOf(value);
    } catch {
      // `pg` has the same error, and passes it to the work.
      return undefined;
    }
    if (literal === undefined) return undefined;
    literals.push(literal);
  }
  return literals;
}

/** @returns the text of a query in any of its forms, if it has one. */
function textOf(query: unknown): string | undefined {
  const text = typeof query === 'string' ? query : (query as { text?: unknown } | null | undefined)?.text;
  return typeof text === 'string' ? text : undefined;
}

function handled(result: Promise<never>): Promise<never> {
  result.catch(ignore);
  return result;
}

/** Libraries release their client after use. This connection is released when its transaction has ended. */
function leaveIt(...args: readonly unknown[]): Promise<void> {
  for (const callback of args) if (typeof callback === 'function') process.nextTick(callback);
  return Promise.resolve();
}

function workOver(): PostgresBranchError {
  return new PostgresBranchError(
    'DTC_POSTGRES_WORK_OVER',
    'The work of this branch has ended, and its client can no longer be used: await every query before the vote.',
  );
}

function transactionControl(text: string): PostgresBranchError {
  const [command] = /^\w+/.exec(text.trim()) ?? [];
  return new PostgresBranchError(
    'DTC_POSTGRES_TRANSACTION_CONTROL',
    `The work sent ${command?.toUpperCase()}, which was not run: the transaction of the branch is open already, and the ` +
      'coordinator ends it. Remove the statement, or the transaction of the ORM that sends it; a savepoint may take its place.',
  );
}

function ignore(): void {}
