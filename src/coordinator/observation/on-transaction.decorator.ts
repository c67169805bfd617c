import type { OnTransactionOptions } from './event-emitter.js';
import { TRANSACTION_EVENTS, type TransactionEventPayloads } from './events.js';

/** One use of `@OnTransaction` on a method. */
export interface DecoratedListener {
  readonly event: keyof TransactionEventPayloads;
  readonly options: OnTransactionOptions | undefined;
}

/** On a prototype: the keys of its decorated methods. */
const KEYS = Symbol('keys of transaction listeners');
/** On a method: the events that it listens to. */
const LISTENERS = Symbol('transaction listeners');

/**
 * Calls a method of a provider or controller when something has happened to a transaction. It is `@OnEvent` of
 * `@nestjs/event-emitter`, and the compiler checks what the method takes. The application installs that package and
 * imports `EventEmitterModule.forRoot()`.
 *
 * @param event the name of the event.
 * @param options as for `@OnEvent`.
 * @example
 * ```ts
 * @OnTransaction('stalled')
 * async stalled({ participant, lastError }: TransactionStalledEvent): Promise<void> {
 * ```
 * @publicApi
 */
export function OnTransaction<E extends keyof typeof TRANSACTION_EVENTS>(
  event: E,
  options?: OnTransactionOptions,
) {
  return <M extends (event: TransactionEventPayloads[(typeof TRANSACTION_EVENTS)[E]]) => unknown>(
    prototype: object,
    key: string | symbol,
    descriptor: TypedPropertyDescriptor<M>,
  ): void => {
    const method: object = descriptor.value!;
    const keys = (Reflect.getOwnMetadata(KEYS, prototype) ?? []) as readonly (string | symbol)[];
    Reflect.defineMetadata(KEYS, [...new Set([...keys, key])], prototype);
    const listener: DecoratedListener = { event: TRANSACTION_EVENTS[event], options };
    Reflect.defineMetadata(LISTENERS, [...listenersOf(method), listener], method);
  };
}

/** @returns the keys of the decorated methods of a class, also of those that it inherits. */
export function listenerKeysOf(prototype: object): readonly (string | symbol)[] {
  const keys = new Set<string | symbol>();
  for (
    let link: object | null = prototype;
    link !== null;
    link = Object.getPrototypeOf(link) as object | null
  ) {
    for (const key of (Reflect.getOwnMetadata(KEYS, link) ?? []) as readonly (string | symbol)[])
      keys.add(key);
  }
  return [...keys];
}

/** Takes the listeners of a method: a second application that has its class finds it prepared. */
export function takeListenersOf(method: object): readonly DecoratedListener[] {
  const listeners = listenersOf(method);
  Reflect.deleteMetadata(LISTENERS, method);
  return listeners;
}

function listenersOf(method: object): readonly DecoratedListener[] {
  return (Reflect.getOwnMetadata(LISTENERS, method) ?? []) as readonly DecoratedListener[];
}
