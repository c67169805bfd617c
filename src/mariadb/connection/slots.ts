/** A number of places, and a queue for them. A waiter whose signal is aborted leaves the queue at once. */
export class Slots {
  private readonly waiting = new Set<() => void>();

  /** @param free the number of places. */
  constructor(private free: number) {}

  /** How many wait for a place. */
  get length(): number {
    return this.waiting.size;
  }

  /** Waits for a place. @throws the reason of the signal. */
  async take(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.free > 0) {
      this.free--;
      return;
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const leave = (): void => {
      this.waiting.delete(enter);
      reject(signal.reason as Error);
    };
    const enter = (): void => {
      signal.removeEventListener('abort', leave);
      resolve();
    };
    this.waiting.add(enter);
    signal.addEventListener('abort', leave, { once: true });
    await promise;
  }

  /** Gives a place back. The first waiter has it then. */
  give(): void {
    const [first] = this.waiting;
    if (first === undefined) {
      this.free++;
      return;
    }
    this.waiting.delete(first);
    first();
  }
}
