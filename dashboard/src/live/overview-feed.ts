import type { Client } from '../api/client.js';
import { ProblemError, describeProblem } from '../api/problem.js';
import type { Overview } from '../api/views.js';
import { messagesOf } from './event-stream.js';
import { MAX_FAILURES, pauseAfter } from './pauses.js';

/** The state of the stream of events. */
export type Connection =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'live' }
  /** `retryAtMs` is a moment of `performance.now()`; null when there are no more automatic attempts. */
  | { readonly kind: 'lost'; readonly why: string; readonly retryAtMs: number | null };

export interface FeedListener {
  onOverview(overview: Overview): void;
  onConnection(connection: Connection): void;
  /** The token is not accepted, or no longer. No further attempt is made. */
  onUnauthenticated(): void;
}

/** The coordinator sends every second. After this silence, the connection counts as lost. */
const SILENCE_MS = 5_000;
/** The pause before a stream that ended regularly is opened again. */
const REOPEN_MS = 250;

/** Keeps a stream of overviews open, and reports when it cannot. */
export class OverviewFeed {
  private readonly client: Client;
  private readonly listener: FeedListener;
  private readonly stopped = new AbortController();
  private wake: () => void = () => undefined;

  constructor(client: Client, listener: FeedListener) {
    this.client = client;
    this.listener = listener;
  }

  /** Ends when {@link stop} is called, when the token is refused, or after too many failures in a row. */
  async run(): Promise<void> {
    let failures = 0;
    while (!this.stopped.signal.aborted) {
      const { received, why, isRefused } = await this.readOnce();
      if (this.stopped.signal.aborted) return;
      if (isRefused) {
        this.listener.onUnauthenticated();
        return;
      }
      if (received > 0 && why === undefined) {
        failures = 0;
        await this.pause(REOPEN_MS);
        continue;
      }
      failures = received > 0 ? 1 : failures + 1;
      const pauseMs = failures < MAX_FAILURES ? pauseAfter(failures) : null;
      const retryAtMs = pauseMs === null ? null : performance.now() + pauseMs;
      this.listener.onConnection({ kind: 'lost', why: why ?? 'The stream ended at once.', retryAtMs });
      await this.pause(pauseMs);
    }
  }

  /** Does not wait for the next attempt. */
  retryNow(): void {
    this.wake();
  }

  stop(): void {
    this.stopped.abort();
    this.wake();
  }

  /** Reads one stream to its end. */
  private async readOnce(): Promise<{ received: number; why?: string; isRefused?: boolean }> {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    let received = 0;
    let overview: Overview | undefined;
    try {
      const signal = AbortSignal.any([this.stopped.signal, silence.signal]);
      const answer = await this.client.open('events', 'text/event-stream', signal);
      for await (const { event, data } of messagesOf(answer.body!)) {
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        if (event !== 'overview') continue;
        // The first of a stream is whole. What is missing in the others has not changed, or comes later.
        overview = Object.assign({}, overview, JSON.parse(data) as Overview);
        if (received === 0) this.listener.onConnection({ kind: 'live' });
        received += 1;
        this.listener.onOverview(overview);
      }
      return { received };
    } catch (error) {
      if (error instanceof ProblemError && error.isUnauthenticated) return { received, isRefused: true };
      const why = silence.signal.aborted ? 'The coordinator sends no more data.' : describeProblem(error);
      return { received, why };
    } finally {
      clearTimeout(timer);
    }
  }

  /** @param durationMs null waits until the user requests the next attempt. */
  private async pause(durationMs: number | null): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      if (durationMs !== null) timer = setTimeout(resolve, durationMs);
    });
    clearTimeout(timer);
    this.wake = () => undefined;
  }
}
