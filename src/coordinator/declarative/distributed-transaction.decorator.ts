import { types } from 'node:util';
import { isObservable } from 'rxjs';
import type {
  AnyMethodOptions,
  DistributedTransactionOptions,
  FitsMethod,
} from './distributed-transaction.options.js';
import { InvalidMethodError, NotManagedError } from './errors.js';
import { noteMethod, transactionsOf } from './managed.js';

/**
 * Runs a method of a provider or controller in a transaction. The transaction begins before the method, is
 * ambient within it (so that `TransactionManager.enlist` and decorated methods below add to it), commits when
 * the method returns, and rolls back when it throws. The method's value is returned only after everything has
 * committed.
 *
 * The class must be default-scoped. A method that is a generator or returns an Observable stops the start.
 * The method becomes asynchronous, so it must be declared with a promise.
 *
 * @throws (the method, as a rejection) the method's own error: then nothing was changed.
 * @throws NotCommittedError when the method returned and the outcome is not `committed`; see {@link
 * NotCommittedError.outcome}.
 * @throws RepeatedCallError when an earlier call with its `key` has committed, and there is no option `repeated`.
 * @throws NotActiveError when it would join a transaction that takes no more branches.
 * @throws NoTransactionError, InTransactionError, depending on its propagation; NotManagedError; and the
 * errors of TransactionManager.begin.
 * @example
 * ```ts
 * @DistributedTransaction({ name: 'create-order', timeoutMs: 3_000 })
 * async place(order: Order): Promise<string> {
 * ```
 * @publicApi
 */
export function DistributedTransaction<A extends unknown[] = unknown[], R = never>(
  options: DistributedTransactionOptions<A, R> = {},
) {
  return <M extends (...args: never[]) => Promise<unknown>>(
    prototype: object,
    key: string | symbol,
    descriptor: TypedPropertyDescriptor<M> & FitsMethod<A, R, M>,
  ): void => {
    const method = descriptor.value!;
    // The compiler has compared the parameters with those of the method.
    const given = options as AnyMethodOptions;
    noteMethod(prototype, { key, options: given, method });
    descriptor.value = asOriginal(method, function (this: object, ...args: never[]): Promise<unknown> {
      const caller = `${(this ?? prototype).constructor.name}.${String(key)}`;
      const transactions = transactionsOf(this);
      if (transactions === undefined) return Promise.reject(new NotManagedError(caller));
      const call = { caller, object: this, args };
      return transactions.run(call, given, async () => {
        const value: unknown = await Reflect.apply(method, this, args);
        if (isUnbegun(value)) {
          throw new InvalidMethodError(
            caller,
            'it returned an Observable or a generator, whose work starts only when its values are read',
            'Return a promise of its values instead.',
          );
        }
        return value;
      });
    });
  };
}

/**
 * The wrapper of the method. It has the method's name, length, and the metadata of other decorators, so that
 * routes, guards, schedules and listeners are found whatever the order of the decorators.
 */
function asOriginal<M extends (...args: never[]) => Promise<unknown>>(
  method: M,
  wrapper: (...args: never[]) => Promise<unknown>,
): M {
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
