import { NoTransactionError, NotActiveError } from '../errors.js';
import { messageOf } from '../gate/texts.js';
import { isInstanceOf } from '../gate/failure.js';
import type { Outcome } from '../outcome.js';
import type { BeginOptions } from '../transaction-request.js';
import type { Propagation } from './distributed-transaction.options.js';
import { FailedAfterCommitError, InTransactionError, NotCommittedError } from './errors.js';

const MAX_NAME_LENGTH = 100;

/** The options of any decorated method. */
interface MethodOptions extends Pick<BeginOptions, 'name' | 'timeoutMs' | 'prepareInTurn'> {
  readonly propagation?: Propagation;
}

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

/** What begins transactions for decorated methods, and knows the one of the calling code. */
export interface TransactionSource<T extends ManagedTransaction = ManagedTransaction> {
  readonly scope: {
    enclose<R>(transaction: T, work: () => Promise<R>): Promise<R>;
    hide<R>(transaction: T | undefined, work: () => R): R;
  };
  begin(options: Pick<BeginOptions, 'name' | 'timeoutMs' | 'prepareInTurn'>): T | Promise<T>;
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
   * @param caller the class and the method.
   * @param work the method itself, with its object and arguments.
   * @returns the result of the work; if it has begun a transaction, after the commit.
   * @throws (as a rejection) the error of the work; NotCommittedError, NotActiveError, NoTransactionError,
   * InTransactionError, and the errors of TransactionManager.begin.
   */
  async run<R>(caller: string, options: MethodOptions, work: () => Promise<R>): Promise<R> {
    const { propagation = 'required' } = options;
    if (propagation === 'requires-new') return this.begin(caller, options, work);
    if (propagation === 'not-supported') {
      return this.transactions.scope.hide(this.transactions.current(), work);
    }
    const surrounding = this.transactions.enclosing();
    if (surrounding !== undefined) {
      if (propagation === 'never') throw new InTransactionError(caller, surrounding.id);
      return this.join(caller, surrounding, work);
    }
    if (propagation === 'required') return this.begin(caller, options, work);
    if (propagation === 'mandatory') throw new NoTransactionError(caller);
    return work();
  }

  private async begin<R>(
    caller: string,
    { name = caller.slice(0, MAX_NAME_LENGTH), timeoutMs, prepareInTurn = false }: MethodOptions,
    work: () => Promise<R>,
  ): Promise<R> {
    const { scope } = this.transactions;
    const begun = this.transactions.begin({
      name,
      prepareInTurn,
      ...(timeoutMs !== undefined && { timeoutMs }),
    });
    const transaction = begun instanceof Promise ? await begun : begun;
    let value: R;
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
