import type { TransactionEventPayloads } from './events.js';

/** The part of the `EventEmitter2` of an application that the coordinator uses. */
export interface Emitter {
  hasListeners(event: string): unknown;
  listeners(event: string): ((...args: unknown[]) => unknown)[];
  listenersAny(): ((...args: unknown[]) => unknown)[];
}

/** The options of `@OnTransaction`, besides the event: those of `@OnEvent`. @publicApi */
export interface OnTransactionOptions {
  /** Calls the method later, in a step of its own. */
  readonly async?: boolean;
  readonly promisify?: boolean;
  readonly nextTick?: boolean;
  readonly objectify?: boolean;
  /** Calls the method before the listeners that were there first. */
  readonly prependListener?: boolean;
  readonly suppressErrors?: boolean;
}

/** The part of `@nestjs/event-emitter` that the coordinator uses. */
interface EventEmitterPackage {
  readonly EventEmitter2: unknown;
  readonly EventEmitterModule: unknown;
  OnEvent(
    event: keyof TransactionEventPayloads,
    options?: OnTransactionOptions,
  ): (prototype: object, key: string | symbol, descriptor: PropertyDescriptor) => unknown;
}

/**
 * Imports `@nestjs/event-emitter` at run time, because an application without listeners does not need it.
 *
 * @returns undefined if it is not installed.
 * @throws any error of the package itself.
 */
export async function importEventEmitter(): Promise<EventEmitterPackage | undefined> {
  try {
    return await import('@nestjs/event-emitter');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  const { code, message } = error as { readonly code?: unknown; readonly message?: unknown };
  // Node has one code, Jest the other. Of a package that the emitter misses the message names another one.
  const isNotFound = code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
  return isNotFound && String(message).includes('@nestjs/event-emitter');
}
