import { settled } from './settled.js';

const { prototype } = EventTarget;

type Listener = ((event: Event) => unknown) | { handleEvent(event: Event): unknown };
type Guard = (event: Event) => void;

/** The listeners of one signal, each with the one that takes its place. */
const GUARDS = Symbol('guards');

interface GuardedSignal extends AbortSignal {
  [GUARDS]: Guards;
}

class Guards {
  /** Made when there is a listener, as few participants listen. */
  private known: WeakMap<object, Guard> | undefined;

  constructor(
    private readonly signal: AbortSignal,
    private readonly report: (error: unknown) => void,
  ) {}

  of(listener: unknown): Guard {
    // A value that is not a listener is refused in the usual way.
    if (!isListener(listener)) return listener as Guard;
    const guarded = (this.known ??= new WeakMap());
    const before = guarded.get(listener);
    if (before !== undefined) return before;
    const guard = (event: Event): void => void hear(this.signal, listener, event, this.report);
    guarded.set(listener, guard);
    return guard;
  }
}

/**
 * Makes the signals that participants receive. Node ends the process when a listener of a signal throws or
 * rejects. Here the error is reported and goes no further: the other listeners and the transaction are still
 * told of the abort.
 *
 * @param report receives the error of a listener. It must not throw.
 */
export function guardedController(report: (error: unknown) => void): AbortController {
  const controller = new AbortController();
  const signal = controller.signal as GuardedSignal;
  // All signals share these functions, and get them as plain fields: V8 then keeps the signal in its fast form.
  signal[GUARDS] = new Guards(signal, report);
  signal.addEventListener = addGuarded;
  signal.removeEventListener = removeGuarded;
  return controller;
}

function addGuarded(this: GuardedSignal, type: string, listener: unknown, options?: boolean | object): void {
  prototype.addEventListener.call(this, type, this[GUARDS].of(listener), options);
}

function removeGuarded(
  this: GuardedSignal,
  type: string,
  listener: unknown,
  options?: boolean | object,
): void {
  prototype.removeEventListener.call(this, type, this[GUARDS].of(listener), options);
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
