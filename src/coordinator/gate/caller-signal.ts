import { InvalidRequestError } from '../errors.js';
import { messageOf } from './texts.js';

type UnknownSignal = Readonly<Record<keyof AbortSignal, unknown>>;

/**
 * The signal of a caller. One of another realm, or of a polyfill, will do, and none can do harm by what it throws or by
 * when it calls back.
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

  /** Whether it has been aborted. */
  get isAborted(): boolean {
    return this.fired;
  }

  /**
   * From now on an abort is noticed.
   *
   * @throws InvalidRequestError when it does not let itself be listened to.
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

  /** @param onAbort called when it is aborted from now on. It does not throw. */
  tell(onAbort: () => void): void {
    this.onAbort = onAbort;
  }

  /** Why it was aborted, in words. */
  reason(): string {
    try {
      return messageOf(this.signal?.reason);
    } catch (error) {
      return messageOf(error);
    }
  }

  /** It can change nothing any more, and is not held on to: it, and what it was aborted for, may hold anything. */
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
