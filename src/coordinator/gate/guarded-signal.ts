import { settled } from './settled.js';

const { prototype } = EventTarget;

type Listener = ((event: Event) => unknown) | { handleEvent(event: Event): unknown };
type Guard = (event: Event) => void;

/**
 * Makes the signals that participants receive. Node ends the process when a listener of a signal throws or
 * rejects. Here the error is reported and goes no further: the other listeners and the transaction are still
 * told of the abort.
 *
 * @param report receives the error of a listener. It must not throw.
 */
export function guardedController(report: (error: unknown) => void): AbortController {
  const controller = new AbortController();
  const { signal } = controller;
  const guarded = new WeakMap<object, Guard>();
  const guardedOf = (listener: unknown): Guard => {
    // A value that is not a listener is refused in the usual way.
    if (!isListener(listener)) return listener as Guard;
    const before = guarded.get(listener);
    if (before !== undefined) return before;
    const guard = (event: Event): void => void hear(signal, listener, event, report);
    guarded.set(listener, guard);
    return guard;
  };
  const methods = {
    addEventListener: (type: string, listener: unknown, options?: boolean | object) =>
      prototype.addEventListener.call(signal, type, guardedOf(listener), options),
    removeEventListener: (type: string, listener: unknown, options?: boolean | object) =>
      prototype.removeEventListener.call(signal, type, guardedOf(listener), options),
  };
  for (const [name, value] of Object.entries(methods)) {
    Object.defineProperty(signal, name, { value, writable: true, configurable: true });
  }
  return controller;
}

function isListener(value: unknown): value is Listener {
  return typeof value === 'function' || (typeof value === 'object' && value !== null);
}

async function hear(
  signal: AbortSignal,
  listener: Listener,
  event: Event,
  report: (error: unknown) => void,
): Promise<void> {
  const ended = await settled(() =>
    typeof listener === 'function' ? listener.call(signal, event) : listener.handleEvent(event),
  );
  if ('error' in ended) report(ended.error);
}

/** The reason of the signal of a prepare whose transaction is aborted. @publicApi */
export class TransactionAbortedError extends Error {
  readonly code = 'DTC_ABORTED';

  constructor(readonly transactionId: string) {
    super(`The transaction ${transactionId} is aborted: stop preparing and release all resources.`);
    this.name = 'TransactionAbortedError';
  }
}

/** The reason of the signal of a completion attempt that was given up. @publicApi */
export class AttemptAbandonedError extends Error {
  readonly code = 'DTC_ATTEMPT_ABANDONED';

  constructor() {
    super('The coordinator no longer waits for this attempt: it took too long, or another one was answered.');
    this.name = 'AttemptAbandonedError';
  }
}
