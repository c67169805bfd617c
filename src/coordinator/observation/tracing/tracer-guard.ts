import { type Context, context } from '@opentelemetry/api';
import type { TransactionObserver } from '../../execution/observer.js';

/** Keeps what a tracer, its processors or its context manager throw away from the transaction. */
export class TracerGuard {
  constructor(private readonly observer: Pick<TransactionObserver, 'defect'>) {}

  /** @returns what `work` returns, or undefined if it throws, which is a defect. */
  try<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      this.observer.defect(error, 'tracing');
      return undefined;
    }
  }

  /**
   * Runs `work` in a context. Whatever the context manager does, it runs once.
   *
   * @returns what it returns.
   * @throws what it throws.
   */
  within<T>(surroundings: Context, work: () => T): T {
    let ended: { readonly value: T } | { readonly error: unknown } | undefined;
    this.try(() =>
      context.with(surroundings, () => {
        try {
          ended ??= { value: work() };
        } catch (error) {
          ended = { error };
        }
      }),
    );
    if (ended === undefined) return work();
    if ('error' in ended) throw ended.error;
    return ended.value;
  }
}
