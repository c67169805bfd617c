import { types } from 'node:util';
import { isObservable } from 'rxjs';
import type { DistributedTransactionOptions } from './distributed-transaction.options.js';
import { InvalidMethodError, NotManagedError } from './errors.js';
import { noteMethod, transactionsOf } from './managed.js';

/** A method that answers with a promise. */
type AsyncMethod = (...args: never[]) => Promise<unknown>;

/**
 * Runs a method of a provider or controller in a transaction. It is begun before the method, ambient within it (so that
 * `TransactionManager.enlist` and decorated methods below add to it), committed when the method returns and rolled back
 * when it throws. The method's own value is returned only when everything is committed.
 *
 * The class must be default-scoped; a method that is a generator or answers with an Observable stops the start. The method
 * becomes asynchronous, so it has to be declared with a promise.
 *
 * @throws (the method, as a rejection) whatever the method throws, itself: then nothing was changed.
 * @throws NotCommittedError when it returned, and the outcome is not `committed`; {@link NotCommittedError.outcome} says what
 * it is.
 * @throws NotActiveError when it would join a transaction that takes no more branches.
 * @throws NoTransactionError, InTransactionError as its propagation says; NotManagedError; and what
 * TransactionManager.begin throws.
 * @example
 * ```ts
 * @DistributedTransaction({ name: 'create-order', timeoutMs: 3_000 })
 * async place(order: Order): Promise<string> {
 * ```
 * @publicApi
 */
export function DistributedTransaction(options: DistributedTransactionOptions = {}) {
  return <M extends AsyncMethod>(
    prototype: object,
    key: string | symbol,
    descriptor: TypedPropertyDescriptor<M>,
  ): void => {
    const method = descriptor.value!;
    noteMethod(prototype, { key, options, method });
    descriptor.value = asOriginal(method, function (this: object, ...args: never[]): Promise<unknown> {
      const caller = `${(this ?? prototype).constructor.name}.${String(key)}`;
      const transactions = transactionsOf(this);
      if (transactions === undefined) return Promise.reject(new NotManagedError(caller));
      return transactions.run(caller, options, async () => {
        const value: unknown = await Reflect.apply(method, this, args);
        if (isUnbegun(value)) {
          throw new InvalidMethodError(
            caller,
            'it answered with an Observable or a generator, whose work begins only when somebody asks for its values',
            'Answer with a promise of what it yields.',
          );
        }
        return value;
      });
    });
  };
}

/**
 * The wrapper in place of the method: with its name, its length, and whatever other decorators have written on it, so that
 * routes, guards, schedules and listeners are found in whichever order the decorators stand.
 */
function asOriginal<M extends AsyncMethod>(method: M, wrapper: (...args: never[]) => Promise<unknown>): M {
  for (const property of ['name', 'length']) {
    Object.defineProperty(wrapper, property, Object.getOwnPropertyDescriptor(method, property)!);
  }
  for (const key of Reflect.getOwnMetadataKeys(method) as unknown[]) {
    Reflect.defineMetadata(key, Reflect.getOwnMetadata(key, method), wrapper);
  }
  return wrapper as M;
}

function isUnbegun(value: unknown): boolean {
  return isObservable(value) || types.isGeneratorObject(value);
}
