import { type Branch, ParticipantRegistry } from '../../src/coordinator/index.js';

/** The participant that is told to commit last. */
const LAST = 'payment';

/**
 * Stops a transaction between decision and completion: commit is decided, every participant but one has
 * committed, and the last one has not been told. The application does not know of this: only the method
 * `commit` of its participants is replaced.
 */
export class HoldPoint {
  private onReached: ((transactionId: string) => void) | undefined;
  private held: string | undefined;
  private waiting = 0;
  private readonly released = Promise.withResolvers<void>();

  /** @param registry of an application that has started. */
  static install(registry: ParticipantRegistry): HoldPoint {
    const point = new HoldPoint();
    for (const { name, instance } of registry.list()) {
      const commit = instance.commit.bind(instance);
      Object.assign(instance, {
        commit: (branch: Branch) => point.commit(name, branch, async () => commit(branch)),
      });
      if (name !== LAST) point.waiting++;
    }
    return point;
  }

  /**
   * Holds the next transaction that commits.
   *
   * @param onReached is called with its id when only the last participant has not committed.
   */
  arm(onReached: (transactionId: string) => void): void {
    this.onReached = onReached;
  }

  /** Tells the last participant. */
  release(): void {
    this.released.resolve();
  }

  private async commit(name: string, { transactionId }: Branch, deliver: () => Promise<void>): Promise<void> {
    if (this.onReached !== undefined) this.held ??= transactionId;
    if (this.held !== transactionId) return deliver();
    if (name === LAST) {
      await this.released.promise;
      return deliver();
    }
    await deliver();
    this.waiting--;
    if (this.waiting === 0) this.onReached!(transactionId);
  }
}
