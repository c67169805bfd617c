import type { DeclarativeTransactions } from './declarative-transactions.js';
import type { AnyMethodOptions } from './distributed-transaction.options.js';

/** A method before `@DistributedTransaction` replaced it. */
export interface DecoratedMethod {
  readonly key: string | symbol;
  readonly options: AnyMethodOptions;
  readonly method: (...args: never[]) => unknown;
}

/** On a prototype: its decorated methods. */
const METHODS = Symbol('decorated methods');
/** On an instance: the runner of its decorated methods. */
const TRANSACTIONS = Symbol('transactions');

/** An instance, managed or not. */
interface Managed {
  readonly [TRANSACTIONS]?: DeclarativeTransactions;
}

export function noteMethod(prototype: object, method: DecoratedMethod): void {
  const before = ownMethodsOf(prototype);
  Reflect.defineMetadata(METHODS, [...before, method], prototype);
}

/**
 * @returns the decorated methods of an object, including those that a subclass overrides, since it may call
 * them through super.
 */
export function methodsOf(instance: object): DecoratedMethod[] {
  const methods: DecoratedMethod[] = [];
  for (
    let link: object | null = instance;
    link !== null;
    link = Object.getPrototypeOf(link) as object | null
  ) {
    methods.push(...ownMethodsOf(link));
  }
  return methods;
}

/** Runs the decorated methods of this instance in transactions of this coordinator from now on. */
export function manage(instance: object, transactions: DeclarativeTransactions): void {
  Object.defineProperty(instance, TRANSACTIONS, { value: transactions, configurable: true });
}

/** @returns undefined for an object that no coordinator manages. */
export function transactionsOf(instance: Managed | undefined): DeclarativeTransactions | undefined {
  return instance?.[TRANSACTIONS];
}

function ownMethodsOf(prototype: object): readonly DecoratedMethod[] {
  return (Reflect.getOwnMetadata(METHODS, prototype) ?? []) as readonly DecoratedMethod[];
}
