import { InvalidRequestError } from '../coordinator/index.js';
import type { ParticipantCalls } from './participant-calls.js';
import type { Status } from './status.js';

/**
 * Participants that are called before the first phase of a transaction and after its end, and hold nothing
 * that outlives a process.
 */
export class VolatileParticipants {
  private readonly urls = new Map<string, Set<string>>();

  constructor(
    private readonly calls: ParticipantCalls,
    private readonly maxVolatile: number,
  ) {}

  /** @throws InvalidRequestError when the transaction has the most that it may have. */
  add(transactionId: string, url: string): void {
    this.checkRoom(transactionId, url);
    this.urls.set(transactionId, (this.urls.get(transactionId) ?? new Set()).add(url));
  }

  /** @throws as {@link VolatileParticipants.add}, which it does not do. */
  checkRoom(transactionId: string, url: string): void {
    const known = this.urls.get(transactionId);
    if (known?.has(url) === true || (known?.size ?? 0) < this.maxVolatile) return;
    throw new InvalidRequestError(
      'Link',
      `is one more than the ${this.maxVolatile} volatile participants of a transaction`,
    );
  }

  of(transactionId: string): readonly string[] {
    return [...(this.urls.get(transactionId) ?? [])];
  }

  /** The transactions that have some. */
  get transactions(): readonly string[] {
    return [...this.urls.keys()];
  }

  /** @returns whether all have agreed, before the first phase. Any other answer than 200 is none. */
  async before(transactionId: string, timeLeftMs: number): Promise<boolean> {
    const answers = await Promise.allSettled(
      this.of(transactionId).map((url) => this.calls.send({ lane: 'work', method: 'PUT', url, timeLeftMs })),
    );
    return answers.every((answer) => answer.status === 'fulfilled' && answer.value.code === 200);
  }

  /** Tells them the outcome, once. A lost message is not repeated. @returns a promise that never rejects. */
  async after(transactionId: string, status: Status, timeLeftMs: number): Promise<void> {
    const urls = this.of(transactionId);
    this.urls.delete(transactionId);
    await Promise.allSettled(
      urls.map((url) => this.calls.send({ lane: 'completion', method: 'PUT', url, status, timeLeftMs })),
    );
  }
}
