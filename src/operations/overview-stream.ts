import { Injectable, type MessageEvent, type BeforeApplicationShutdown } from '@nestjs/common';
import { Observable, ReplaySubject, defer, finalize, map, merge, of, share, takeUntil, timer } from 'rxjs';
import {
  CoordinatorError,
  CoordinatorStatus,
  type CoordinatorView,
  type ParticipantView,
  type TransactionSummary,
} from '../coordinator/index.js';

const INTERVAL_MS = 1_000;
/** A stream that is not read ends, so what it has queued is released. */
const STREAM_MS = 300_000;
const MAX_STREAMS = 20;
/** The limit for one caller, so that it does not exclude the others. */
const MAX_STREAMS_OF_ONE = 10;
const MAX_ATTENTION = 100;

/** The content of an overview. */
export interface Overview {
  /** ISO 8601. */
  readonly at: string;
  readonly coordinator: CoordinatorView;
  /** The transactions that are in doubt for more than a moment, stalled or heuristic, the oldest first. */
  readonly attention: readonly TransactionSummary[];
  /** The number of all of them. */
  readonly attentionTotal: number;
  readonly participants: readonly ParticipantView[];
}

/** The limit of open streams is reached. @publicApi */
export class TooManyStreamsError extends CoordinatorError {
  readonly code = 'DTC_TOO_MANY_STREAMS';

  constructor() {
    super(
      `There may be ${MAX_STREAMS} streams of events in all, and ${MAX_STREAMS_OF_ONE} of one caller. Close one, or try again later.`,
    );
  }
}

/** One overview a second for all streams, made only while one is open. */
@Injectable()
export class OverviewStream implements BeforeApplicationShutdown {
  /** The number of open streams of each caller. */
  private readonly open = new Map<string | null, number>();
  private readonly ended = new ReplaySubject<void>(1);
  private readonly ticks = timer(INTERVAL_MS, INTERVAL_MS).pipe(
    map(() => this.message()),
    share(),
  );

  constructor(private readonly status: CoordinatorStatus) {}

  /**
   * @param caller the name of the caller; null for all callers without a name.
   * @throws TooManyStreamsError
   */
  subscribe(caller: string | null): Observable<MessageEvent> {
    const own = this.open.get(caller) ?? 0;
    const all = [...this.open.values()].reduce((sum, count) => sum + count, 0);
    if (own >= MAX_STREAMS_OF_ONE || all >= MAX_STREAMS) throw new TooManyStreamsError();
    this.open.set(caller, own + 1);
    return merge(
      defer(() => of(this.message())),
      this.ticks,
    ).pipe(
      takeUntil(merge(timer(STREAM_MS), this.ended)),
      finalize(() => this.leave(caller)),
    );
  }

  /** The HTTP server waits for open answers before it closes. */
  beforeApplicationShutdown(): void {
    this.ended.next();
  }

  private leave(caller: string | null): void {
    const left = this.open.get(caller)! - 1;
    if (left === 0) this.open.delete(caller);
    else this.open.set(caller, left);
  }

  private message(): MessageEvent {
    return { type: 'overview', data: this.overview() };
  }

  private overview(): Overview {
    const { transactions, total } = this.status.attention(MAX_ATTENTION);
    return {
      at: new Date().toISOString(),
      coordinator: this.status.view(),
      attention: transactions,
      attentionTotal: total,
      participants: this.status.participants(),
    };
  }
}
