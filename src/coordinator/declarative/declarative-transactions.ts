import { Injectable } from '@nestjs/common';
import { NoTransactionError, NotActiveError } from '../errors.js';
import { messageOf } from '../gate/texts.js';
import { isInstanceOf } from '../gate/failure.js';
import type { Transaction } from '../transaction.js';
import { TransactionManager } from '../transaction-manager.js';
import type { BeginOptions } from '../transaction-request.js';
import type { Propagation } from './distributed-transaction.options.js';
import { FailedAfterCommitError, InTransactionError, NotCommittedError } from './errors.js';

const MAX_NAME_LENGTH = 100;

/** The options of a decorated method, whichever they are. */
interface MethodOptions extends Pick<BeginOptions, 'name' | 'timeoutMs' | 'prepareInTurn'> {
  readonly propagation?: Propagation;
}

/** Runs decorated methods: each in the transaction of its caller, in one of its own, or in none, as its propagation says. */
@Injectable()
export class DeclarativeTransactions {
  /** What a method that had joined has thrown first, by the transaction that cannot commit for that reason. */
  private readonly failures = new WeakMap<Transaction, unknown>();

  constructor(private readonly transactions: TransactionManager) {}

  /**
   * @param caller the class and the method.
   * @param work the method itself, with its object and arguments.
   * @returns what the work does; where it has begun a transaction, once that is committed.
   * @throws (as a rejection) what the work throws; NotCommittedError, NotActiveError, NoTransactionError,
   * InTransactionError, and what TransactionManager.begin throws.
   */
  async run<T>(caller: string, options: MethodOptions, work: () => Promise<T>): Promise<T> {
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

  private async begin<T>(
    caller: string,
    { name = caller.slice(0, MAX_NAME_LENGTH), timeoutMs, prepareInTurn = false }: MethodOptions,
    work: () => Promise<T>,
  ): Promise<T> {
    const { scope } = this.transactions;
    const transaction = this.transactions.begin({
      name,
      prepareInTurn,
      ...(timeoutMs !== undefined && { timeoutMs }),
    });
    let value: T;
    try {
      value = await scope.enclose(transaction, () => transaction.run(work));
    } catch (error) {
      // That something came too late tells the caller little; what it came too late for tells why.
      const isLate = isInstanceOf(error, NotActiveError) && error.transactionId === transaction.id;
      // What is rollback-only has a reason of its own.
      const outcome =
        isLate && transaction.isRollbackOnly
          ? await transaction.commit()
          : await transaction.rollback(`${caller} failed: ${messageOf(error)}`);
      if (outcome.status === 'aborted')
        throw isLate
          ? new NotCommittedError(outcome, { cause: this.failures.get(transaction) ?? error })
          : error;
      // Commit was asked for before the throw, which alone would say that nothing was changed.
      if (outcome.status === 'committed')
        throw new FailedAfterCommitError(caller, outcome.transactionId, error);
      throw new NotCommittedError(outcome, { cause: error });
    }
    const outcome = await transaction.commit();
    if (outcome.status === 'committed') return value;
    const cause = outcome.status === 'aborted' ? outcome.error : undefined;
    throw new NotCommittedError(outcome, { cause: cause ?? this.failures.get(transaction) });
  }

  /** What the work throws rules commit out, also when the code between it and the begin does not pass it on. */
  private async join<T>(caller: string, transaction: Transaction, work: () => Promise<T>): Promise<T> {
    if (transaction.state !== 'ACTIVE') throw new NotActiveError(transaction.id, transaction.state);
    try {
      return await work();
    } catch (error) {
      if (!this.failures.has(transaction)) this.failures.set(transaction, error);
      transaction.setRollbackOnly(`${caller} failed: ${messageOf(error)}`);
      throw error;
    }
  }
}
