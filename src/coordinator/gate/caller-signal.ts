import { InvalidRequestError } from '../errors.js';
import { messageOf } from './texts.js';

type UnknownSignal = Readonly<Record<keyof AbortSignal, unknown>>;

/**
 * The signal of a caller. A signal of another realm or of a polyfill is accepted, and its errors and early
 * callbacks do no harm.
 */
export class CallerSignal {
  private signal: AbortSignal | undefined;
  private onAbort: (() => void) | undefined = undefined;
  private fired: boolean;

  /** @throws InvalidRequestError when it cannot be listened to. */
  constructor(signal: unknown) {
    this.signal = signal as AbortSignal;
    try {
      const { addEventListener: add, removeEventListener: remove, aborted } = signal as UnknownSignal;
      if (typeof add !== 'function' || typeof remove !== 'function') {
        throw new TypeError('it cannot be listened to');
      }
      this.fired = Boolean(aborted);
    } catch (error) {
      throw unusable(error);
    }
  }

  /** Whether it is aborted. */
  get isAborted(): boolean {
    return this.fired;
  }

  /**
   * Watches for an abort from now on.
   *
   * @throws InvalidRequestError when it accepts no listener.
   */
  listen(): void {
    if (this.fired) return;
    try {
      this.signal?.addEventListener('abort', this.heard, { once: true });
    } catch (error) {
      this.stop();
      throw unusable(error);
    }
  }

  /** @param onAbort called when it is aborted from now on. It must not throw. */
  tell(onAbort: () => void): void {
    this.onAbort = onAbort;
  }

  /** The reason of the abort, as a text. */
  reason(): string {
    try {
      return messageOf(this.signal?.reason);
    } catch (error) {
      return messageOf(error);
    }
  }

  /** It can change nothing any more, and is released: the signal and its reason may hold anything. */
  stop(): void {
    const { signal } = this;
    this.signal = undefined;
    this.onAbort = undefined;
    try {
      signal?.removeEventListener('abort', this.heard);
    } catch {
      // Then the listener stays, and does nothing.
    }
  }

  private readonly heard = (): void => {
    if (this.fired || this.signal === undefined) return;
    this.fired = true;
    this.onAbort?.();
  };
}

function unusable(error: unknown): InvalidRequestError {
  return new InvalidRequestError('signal', `must be an AbortSignal: ${messageOf(error)}`);
}
