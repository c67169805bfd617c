import {
  type Branch,
  ParticipantRegistry,
  type PreparedBranch,
  type TransactionParticipant,
  type Vote,
} from '../../src/coordinator/index.js';

/** Hears of commit last, and so never. */
const LAST = 'payment';

/**
 * The worst moment there is: commit is decided, every participant but one has heard of it, and the process is killed. The
 * application knows nothing of this; it is put around its participants, as any participant can be put around another.
 */
export class CrashPoint {
  private isArmed = false;
  private victim: string | undefined;
  private waiting = 0;

  /** @param registry of an application that has started. */
  static install(registry: ParticipantRegistry): CrashPoint {
    const point = new CrashPoint();
    for (const { name, instance, options, classes } of registry.list()) {
      registry.unregister(name);
      registry.register(new DoomedParticipant(name, instance, point), options, ...classes);
      if (name !== LAST) point.waiting++;
    }
    return point;
  }

  /** The next transaction to be committed is the one. */
  arm(): void {
    this.isArmed = true;
  }

  async commit(name: string, { transactionId }: Branch, deliver: () => Promise<void>): Promise<void> {
    if (this.isArmed) this.victim ??= transactionId;
    if (this.victim !== transactionId) return deliver();
    if (name === LAST) return new Promise<never>(() => {});
    await deliver();
    this.waiting--;
    if (this.waiting === 0) process.kill(process.pid, 'SIGKILL');
  }
}

/** A participant whose commits pass the crash point. */
class DoomedParticipant implements TransactionParticipant {
  constructor(
    private readonly name: string,
    private readonly inner: TransactionParticipant,
    private readonly point: CrashPoint,
  ) {}

  async prepare(branch: Branch): Promise<Vote> {
    return this.inner.prepare(branch);
  }

  commit(branch: Branch): Promise<void> {
    return this.point.commit(this.name, branch, async () => this.inner.commit(branch));
  }

  async rollback(branch: Branch): Promise<void> {
    await this.inner.rollback(branch);
  }

  async recover(): Promise<readonly PreparedBranch[]> {
    return (await this.inner.recover?.()) ?? [];
  }
}
