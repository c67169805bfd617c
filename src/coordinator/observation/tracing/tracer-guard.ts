import type { Context } from '@opentelemetry/api';
import type { TransactionObserver } from '../../execution/observer.js';
import { within } from './trace-context.js';

/** Keeps errors of a tracer, its processors or its context manager away from the transaction. */
export class TracerGuard {
  constructor(private readonly observer: Pick<TransactionObserver, 'defect'>) {}

  /** @returns the result of `work`, or undefined if it throws, which is a defect. */
  try<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      this.observer.defect(error, 'tracing');
      return undefined;
    }
  }

  /**
   * Runs `work` once in a context, even if the context manager fails.
   *
   * @returns the result of `work`.
   * @throws the error of `work`.
   */
  within<T>(surroundings: Context, work: () => T): T {
    return within(surroundings, work, (error) => this.observer.defect(error, 'tracing'));
  }
}
