import type { KeyedRequest, Reservation } from '../log/shared-log.js';
import type { Clock } from './clock.js';

/**
 * How long the key of a committed transaction is kept, and the most such keys. The oldest are dropped first.
 */
const KEPT_MS = 86_400_000;
const MAX_KEPT = 100_000;

interface OpenKey {
  readonly fingerprint: string;
  readonly transactionId: string;
}

interface CommittedKey extends OpenKey {
  readonly until: number;
}

/**
 * The keys of requests where the log is not shared: they end with the process. There are no more open ones
 * than there are transactions that have not ended.
 */
export class LocalKeys {
  private readonly open = new Map<string, OpenKey>();
  /** In the order in which their transactions have ended. */
  private readonly committed = new Map<string, CommittedKey>();

  /** @param epoch of the run. */
  constructor(
    private readonly clock: Clock,
    private readonly epoch: () => number,
  ) {}

  /** Reserves a key, as a shared log does. */
  reserve({ key, fingerprint, transactionId }: KeyedRequest): Reservation {
    this.dropOld();
    const committed = this.committed.get(key);
    const before = committed ?? this.open.get(key);
    if (before === undefined) {
      this.open.set(key, { fingerprint, transactionId });
      return { kind: 'reserved' };
    }
    if (before.fingerprint !== fingerprint)
      return { kind: 'other-request', transactionId: before.transactionId };
    const outcome =
      committed === undefined
        ? ({
            outcome: 'live',
            owner: this.epoch(),
            address: null,
            isPurged: false,
            isRecorded: false,
          } as const)
        : ({ outcome: 'committed', record: null } as const);
    return { kind: 'earlier', transactionId: before.transactionId, outcome };
  }

  /** The transaction has aborted, or was never begun: its key is free. */
  release(key: string, transactionId: string): void {
    if (this.open.get(key)?.transactionId === transactionId) this.open.delete(key);
  }

  /** The transaction has committed, and nothing is left to do for it. */
  keep(key: string, transactionId: string): void {
    const open = this.open.get(key);
    if (open?.transactionId !== transactionId) return;
    this.open.delete(key);
    this.committed.set(key, { ...open, until: this.clock.now() + KEPT_MS });
    this.dropOld();
  }

  private dropOld(): void {
    const now = this.clock.now();
    for (const [key, { until }] of this.committed) {
      if (until > now && this.committed.size <= MAX_KEPT) return;
      this.committed.delete(key);
    }
  }
}
