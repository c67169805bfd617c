import { messageOf } from '../coordinator/gate/texts.js';
import type { ResolvedRelaySettings } from './options.js';
import type { RelayReports } from './reports.js';
import type { AttemptResult, ClaimedMessage, OutboxStore } from './store.js';

interface Result {
  readonly message: ClaimedMessage;
  readonly result: AttemptResult;
  /** When the message is due again without it, on the monotonic clock. */
  readonly leaseEnd: number;
}

/**
 * Keeps results of attempts in the store, those of one moment together. While the store does not answer a
 * result is kept here, until the message is due again: then it is sent once more.
 */
export class ResultRecorder {
  sent = 0;
  retried = 0;
  dead = 0;
  private waiting: Result[] = [];
  private recording: Promise<void> | undefined;
  private readonly stopping = new AbortController();

  constructor(
    private readonly store: OutboxStore,
    private readonly settings: Pick<ResolvedRelaySettings, 'pollIntervalMs' | 'batchSize'>,
    private readonly reports: RelayReports,
  ) {}

  /** @returns a promise that resolves when the result is in the store, or will not be. It never rejects. */
  async add(message: ClaimedMessage, result: AttemptResult, leaseEnd: number): Promise<void> {
    this.waiting.push({ message, result, leaseEnd });
    while (this.waiting.some((one) => one.message === message)) {
      this.recording ??= this.record().finally(() => {
        this.recording = undefined;
      });
      await this.recording;
    }
  }

  /** Whether no result waits to be kept. */
  get isIdle(): boolean {
    return this.waiting.length === 0;
  }

  /** From now on a result is lost when the store does not take it. Its message is sent once more then. */
  stop(): void {
    this.stopping.abort();
  }

  private async record(): Promise<void> {
    const batch = this.waiting.slice(0, this.settings.batchSize);
    try {
      await this.store.record(
        batch.map(({ message: { position, attempt }, result }) => ({ position, attempt, result })),
      );
    } catch (error) {
      this.reports.trouble('record', messageOf(error));
      const now = performance.now();
      const { signal } = this.stopping;
      this.waiting = signal.aborted ? [] : this.waiting.filter(({ leaseEnd }) => leaseEnd > now);
      if (this.waiting.length > 0) await pause(this.settings.pollIntervalMs, signal);
      return;
    }
    this.reports.trouble('record', undefined);
    const kept = new Set(batch);
    this.waiting = this.waiting.filter((result) => !kept.has(result));
    for (const { message, result } of batch) this.count(message, result);
  }

  private count(message: ClaimedMessage, result: AttemptResult): void {
    switch (result.kind) {
      case 'sent':
        this.sent++;
        break;
      case 'failed':
        this.retried++;
        break;
      case 'dead':
        this.dead++;
        this.reports.dead(message, result.error);
        break;
      case 'interrupted':
        break;
    }
  }
}

/** @param signal ends it early. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  signal.addEventListener('abort', () => resolve(), { once: true });
  return promise.finally(() => clearTimeout(timer));
}
