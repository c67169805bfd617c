import { NoTransactionError, NotActiveError } from '../errors.js';
import { messageOf } from '../gate/texts.js';
import { isInstanceOf } from '../gate/failure.js';
import type { Outcome } from '../outcome.js';
import type { BeginOnceOptions, BeginOptions } from '../participant/transaction-request.js';
import type { BeginningOptions, Propagation } from './distributed-transaction.options.js';
import {
  FailedAfterCommitError,
  InTransactionError,
  NotCommittedError,
  RepeatedCallError,
} from './errors.js';

const MAX_NAME_LENGTH = 100;

/** The options of any decorated method. */
interface MethodOptions extends Omit<BeginningOptions<unknown[], unknown>, 'propagation'> {
  readonly propagation?: Propagation;
}

/** One call of a decorated method. */
export interface MethodCall {
  /** The class and the method. */
  readonly caller: string;
  readonly object: object;
  readonly args: readonly unknown[];
}

type BeginFields = Pick<BeginOptions, 'name' | 'timeoutMs' | 'prepareInTurn' | 'attributes' | 'requestId'>;
type BegunForKey<T> =
  | { readonly transaction: T; readonly earlier?: undefined }
  | { readonly transaction?: undefined; readonly earlier: Outcome };

/** A transaction of a decorated method, in this process or at a coordinator elsewhere. */
export interface ManagedTransaction {
  readonly id: string;
  readonly state: string;
  readonly isRollbackOnly: boolean;
  setRollbackOnly(reason?: string): void | Promise<void>;
  commit(): Promise<Outcome>;
  rollback(reason?: string): Promise<Outcome>;
  run<T>(work: () => T): T;
}

/**
 * The part of a manager that begins transactions for decorated methods, and knows the transaction of the
 * calling code.
 */
export interface TransactionSource<T extends ManagedTransaction = ManagedTransaction> {
  readonly scope: {
    enclose<R>(transaction: T, work: () => Promise<R>): Promise<R>;
    hide<R>(transaction: T | undefined, work: () => R): R;
  };
  begin(options: BeginFields): T | Promise<T>;
  beginOnce(options: BeginFields & Pick<BeginOnceOptions, 'key' | 'fingerprint'>): Promise<BegunForKey<T>>;
  current(): T | undefined;
  enclosing(): T | undefined;
}

/**
 * Runs decorated methods: in the transaction of the caller, in a transaction of their own, or in none,
 * depending on their propagation.
 */
export class DeclarativeTransactions<T extends ManagedTransaction = ManagedTransaction> {
  /** The first error of a method that had joined, by the transaction that cannot commit because of it. */
  private readonly failures = new WeakMap<T, unknown>();

  constructor(private readonly transactions: TransactionSource<T>) {}

  /**
   * @param work the method itself, with its object and arguments.
   * @returns the result of the work; if it has begun a transaction, after the commit. Where an earlier call
   * with the key has committed, the result of the option `repeated`.
   * @throws (as a rejection) the error of the work; NotCommittedError, RepeatedCallError, NotActiveError,
   * NoTransactionError, InTransactionError, and the errors of TransactionManager.begin and beginOnce.
   */
  async run(call: MethodCall, options: MethodOptions, work: () => Promise<unknown>): Promise<unknown> {
    const { propagation = 'required' } = options;
    const { caller } = call;
    if (propagation === 'requires-new') return this.begin(call, options, work);
    if (propagation === 'not-supported') {
      return this.transactions.scope.hide(this.transactions.current(), work);
    }
    const surrounding = this.transactions.enclosing();
    if (surrounding !== undefined) {
      if (propagation === 'never') throw new InTransactionError(caller, surrounding.id);
      return this.join(caller, surrounding, work);
    }
    if (propagation === 'required') return this.begin(call, options, work);
    if (propagation === 'mandatory') throw new NoTransactionError(caller);
    return work();
  }

  private async begin(
    call: MethodCall,
    options: MethodOptions,
    work: () => Promise<unknown>,
  ): Promise<unknown> {
    const { caller, args } = call;
    const { name = caller.slice(0, MAX_NAME_LENGTH), timeoutMs, prepareInTurn = false } = options;
    const attributes = options.attributes && this.outside(call, options.attributes, [...args]);
    const requestId = options.requestId && this.outside(call, options.requestId, [...args]);
    const fields = {
      name,
      prepareInTurn,
      ...(timeoutMs !== undefined && { timeoutMs }),
      ...(attributes !== undefined && { attributes }),
      ...(requestId !== undefined && { requestId }),
    };
    if (options.key === undefined) {
      const begun = this.transactions.begin(fields);
      return this.within(begun instanceof Promise ? await begun : begun, caller, work);
    }
    const key = this.outside(call, options.key, [...args]);
    const begun = await this.transactions.beginOnce({ ...fields, key, fingerprint: fingerprintOf(name) });
    if (begun.earlier === undefined) return this.within(begun.transaction, caller, work);
    const { earlier } = begun;
    if (earlier.status !== 'committed') throw new NotCommittedError(earlier);
    if (options.repeated === undefined) throw new RepeatedCallError(caller, earlier);
    return this.outside(call, options.repeated, [earlier, ...args]);
  }

  /** Calls an option of the method: it must not see the transaction of the caller. */
  private outside<A extends readonly unknown[], R>(
    { object }: MethodCall,
    callback: (...args: A) => R,
    args: A,
  ): R {
    const { scope } = this.transactions;
    return scope.hide(this.transactions.current(), () => Reflect.apply(callback, object, args));
  }

  /** Runs the work in a transaction that was begun for it, and ends that. */
  private async within(transaction: T, caller: string, work: () => Promise<unknown>): Promise<unknown> {
    const { scope } = this.transactions;
    let value: unknown;
    try {
      value = await scope.enclose(transaction, () => transaction.run(work));
    } catch (error) {
      // The error of a late call says little to the caller. The outcome of the transaction says why.
      const isLate = isInstanceOf(error, NotActiveError) && error.transactionId === transaction.id;
      // A rollback-only transaction has a reason of its own.
      const outcome =
        isLate && transaction.isRollbackOnly
          ? await transaction.commit()
          : await transaction.rollback(`${caller} failed: ${messageOf(error)}`);
      if (outcome.status === 'aborted')
        throw isLate
          ? new NotCommittedError(outcome, { cause: this.failures.get(transaction) ?? error })
          : error;
      // Commit was requested before the error. The error alone would suggest that nothing was changed.
      if (outcome.status === 'committed')
        throw new FailedAfterCommitError(caller, outcome.transactionId, error);
      throw new NotCommittedError(outcome, { cause: error });
    }
    const outcome = await transaction.commit();
    if (outcome.status === 'committed') return value;
    const cause = outcome.status === 'aborted' ? outcome.error : undefined;
    throw new NotCommittedError(outcome, { cause: cause ?? this.failures.get(transaction) });
  }

  /**
   * An error of the work rules commit out, even if the code between it and the start of the transaction
   * catches it.
   */
  private async join<R>(caller: string, transaction: T, work: () => Promise<R>): Promise<R> {
    if (transaction.state !== 'ACTIVE') throw new NotActiveError(transaction.id, transaction.state);
    try {
      return await work();
    } catch (error) {
      if (!this.failures.has(transaction)) this.failures.set(transaction, error);
      const ruledOut = transaction.setRollbackOnly(`${caller} failed: ${messageOf(error)}`);
      if (ruledOut instanceof Promise) await ruledOut;
      throw error;
    }
  }
}

/** A method with another name and the same key is refused, as another request is. */
function fingerprintOf(name: string): string {
  return name.replaceAll(/[^!-~]/g, '_');
}
