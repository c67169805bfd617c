import { Injectable, type MessageEvent, type BeforeApplicationShutdown } from '@nestjs/common';
import { Observable, ReplaySubject, defer, finalize, map, merge, of, share, takeUntil, timer } from 'rxjs';
import {
  CoordinatorError,
  CoordinatorStatus,
  type CoordinatorView,
  type ParticipantView,
} from '../coordinator/index.js';
import { MemberWatch } from './members/member-watch.js';
import type { MembersNow, OwnedSummary } from './members/owned.js';
import { OwnAnswers } from './members/own-answers.js';

const INTERVAL_MS = 1_000;
/** A stream that is not read ends, so what it has queued is released. */
const STREAM_MS = 300_000;
const MAX_STREAMS = 20;
/** The limit for one caller, so that it does not exclude the others. */
const MAX_STREAMS_OF_ONE = 10;

/** The content of an overview. */
export interface Overview {
  /** ISO 8601. */
  readonly at: string;
  /** The member that answers. */
  readonly coordinator: CoordinatorView;
  /** The members that share the log. What others say of themselves is a second old. */
  readonly members: MembersNow;
  /**
   * The transactions of all members that are in doubt for more than a moment, stalled or heuristic, the oldest first.
   */
  readonly attention: readonly OwnedSummary[];
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

  constructor(
    private readonly status: CoordinatorStatus,
    private readonly own: OwnAnswers,
    private readonly watch: MemberWatch,
  ) {}

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
    // The answers are shown by the next overview, which does not wait for a member that is slow.
    void this.watch.ask();
    const own = this.own.overview();
    const { transactions, total } = this.watch.attention(own);
    return {
      at: new Date().toISOString(),
      coordinator: own.coordinator,
      members: this.watch.latest(),
      attention: transactions,
      attentionTotal: total,
      participants: this.status.participants(),
    };
  }
}
