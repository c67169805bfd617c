import { OnEvent } from '@nestjs/event-emitter';
import type { OnEventOptions } from '@nestjs/event-emitter';
import { TRANSACTION_EVENTS, type TransactionEventPayloads } from './events.js';

/** What a method decorated with `@OnTransaction` may take. */
type PayloadOf<E extends keyof typeof TRANSACTION_EVENTS> =
  TransactionEventPayloads[(typeof TRANSACTION_EVENTS)[E]];

/**
 * Calls a method of a provider or controller when something has happened to a transaction: `@OnEvent` of
 * `@nestjs/event-emitter`, by which the compiler checks what the method takes. The application imports
 * `EventEmitterModule.forRoot()`.
 *
 * @param event what has happened.
 * @param options as for `@OnEvent`.
 * @example
 * ```ts
 * @OnTransaction('stalled')
 * async stalled({ participant, lastError }: TransactionStalledEvent): Promise<void> {
 * ```
 * @publicApi
 */
export function OnTransaction<E extends keyof typeof TRANSACTION_EVENTS>(event: E, options?: OnEventOptions) {
  return <M extends (event: PayloadOf<E>) => unknown>(
    prototype: object,
    key: string | symbol,
    descriptor: TypedPropertyDescriptor<M>,
  ): void => {
    OnEvent(TRANSACTION_EVENTS[event], options)(prototype, key, descriptor);
  };
}
