import { messageOf } from '../coordinator/gate/texts.js';
import type { ResolvedRelaySettings } from './options.js';
import type { OutboxCounts, OutboxStore } from './store.js';

/** The most statements of one purge. */
const MOST_DELETIONS = 100;

/** Counts the messages of a store and deletes old ones, each at its interval and one after the other. */
export class Chores {
  /** As counted last; undefined until then. */
  held: OutboxCounts | undefined;
  private readonly stopping = new AbortController();
  private timer: NodeJS.Timeout | undefined;
  private underWay: Promise<void> | undefined;
  private purgedAt = performance.now();

  constructor(
    private readonly store: OutboxStore,
    private readonly settings: Pick<
      ResolvedRelaySettings,
      'relay' | 'countIntervalMs' | 'purgeIntervalMs' | 'retainSentMs'
    >,
    private readonly trouble: (problem: string | undefined) => void,
  ) {}

  start(): void {
    const { countIntervalMs, purgeIntervalMs } = this.settings;
    this.timer ??= setInterval(() => this.begin(), Math.min(countIntervalMs, purgeIntervalMs));
    this.begin();
  }

  /** @returns a promise that resolves when nothing is running. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    this.stopping.abort();
    await this.underWay;
  }

  private begin(): void {
    this.underWay ??= this.run().finally(() => {
      this.underWay = undefined;
    });
  }

  private async run(): Promise<void> {
    try {
      this.held = await this.store.count();
      this.trouble(undefined);
      await this.purge();
    } catch (error) {
      // The earlier count may be old.
      this.held = undefined;
      this.trouble(messageOf(error));
    }
  }

  private async purge(): Promise<void> {
    const { relay, purgeIntervalMs, retainSentMs } = this.settings;
    if (!relay || performance.now() - this.purgedAt < purgeIntervalMs) return;
    this.purgedAt = performance.now();
    for (let deletions = 0; deletions < MOST_DELETIONS && !this.stopping.signal.aborted; deletions++) {
      if (!(await this.store.purge(retainSentMs))) return;
    }
  }
}
