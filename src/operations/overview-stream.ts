import { Injectable, type MessageEvent, type BeforeApplicationShutdown } from '@nestjs/common';
import {
  Observable,
  ReplaySubject,
  concat,
  defer,
  finalize,
  from,
  map,
  merge,
  race,
  share,
  take,
  takeUntil,
  timer,
} from 'rxjs';
import {
  CoordinatorError,
  CoordinatorStatus,
  type CoordinatorView,
  type ParticipantView,
} from '../coordinator/index.js';
import { MemberWatch } from './members/member-watch.js';
import type { MembersNow, OwnedAlarm } from './members/owned.js';
import { OwnAnswers } from './members/own-answers.js';

const INTERVAL_MS = 1_000;
/** A stream that is not read ends, so what it has queued is released. */
const STREAM_MS = 300_000;
const MAX_STREAMS = 20;
/** The limit for one caller, so that it does not exclude the others. */
const MAX_STREAMS_OF_ONE = 10;

/** More alarms than anyone reads at once. The list of all is at `GET /attention`. */
const SHOWN_ALARMS = 20;
/** A part that has not changed is sent again after so many events, for a client that has missed one. */
const REPEAT_AFTER = 10;
/**
 * The bytes that a part of the overview may take, on average over its events: a larger part comes less often.
 * Together with the rest they keep a stream below 10 kB a second, however much is wrong.
 */
const BYTES_A_SECOND = { alarms: 4_000, participants: 2_000, members: 1_500 } as const;

/** The parts that are left out of an event when they have not changed, or are not due yet. */
type PacedPart = keyof typeof BYTES_A_SECOND;

/** The parts that an event may leave out. */
type LeftOut = PacedPart | 'alarmsTotal';

/** The content of one event. The first event of a stream is complete. */
export type OverviewEvent = Omit<Overview, LeftOut> & Partial<Pick<Overview, LeftOut>>;

/** The content of an overview. */
export interface Overview {
  /** ISO 8601. */
  readonly at: string;
  /** The member that answers. */
  readonly coordinator: CoordinatorView;
  /** The members that share the log. The information of the others about themselves is a second old. */
  readonly members: MembersNow;
  /** The alarms of all members: the most urgent first, not more than {@link SHOWN_ALARMS}. */
  readonly alarms: readonly OwnedAlarm[];
  /** The number of all of them. */
  readonly alarmsTotal: number;
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
    map(() => this.message(this.pace.dueOf(this.overview()))),
    share(),
  );
  private readonly pace = new Pace();

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
    return concat(
      defer(() => this.first()),
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

  /**
   * The first overview waits for the other members, as long as it is until the next one: without one that was
   * open before, nothing is known of them.
   */
  private first(): Observable<MessageEvent> {
    return race(from(this.watch.ask()), timer(INTERVAL_MS)).pipe(
      take(1),
      map(() => this.message(this.overview())),
    );
  }

  private leave(caller: string | null): void {
    const left = this.open.get(caller)! - 1;
    if (left === 0) this.open.delete(caller);
    else this.open.set(caller, left);
  }

  private message(data: OverviewEvent): MessageEvent {
    return { type: 'overview', data };
  }

  private overview(): Overview {
    // The answers are shown by the next overview, which does not wait for a member that is slow. They are
    // never a rejection.
    void this.watch.ask();
    const own = this.own.overview();
    const { alarms, total } = this.watch.alarms(own, SHOWN_ALARMS);
    return {
      at: new Date().toISOString(),
      coordinator: own.coordinator,
      members: this.watch.latest(),
      alarms,
      alarmsTotal: total,
      participants: this.status.participants(),
    };
  }
}

/** Decides which parts an event contains. All streams share the events, and so the pace. */
class Pace {
  private readonly sent = new Map<PacedPart, { readonly text: string; readonly at: number }>();
  private events = 0;

  /** @returns the overview without the parts that are not due. */
  dueOf(overview: Overview): OverviewEvent {
    this.events++;
    const parts = Object.keys(BYTES_A_SECOND) as PacedPart[];
    const waiting = new Set<string>(
      parts.filter((part) => !this.isDue(part, JSON.stringify(overview[part]))),
    );
    // The number of all goes with the list.
    if (waiting.has('alarms')) waiting.add('alarmsTotal');
    return Object.fromEntries(
      Object.entries(overview).filter(([name]) => !waiting.has(name)),
    ) as unknown as OverviewEvent;
  }

  private isDue(part: PacedPart, text: string): boolean {
    const last = this.sent.get(part);
    const every = Math.ceil(Buffer.byteLength(text) / BYTES_A_SECOND[part]);
    const pause = last?.text === text ? Math.max(every, REPEAT_AFTER) : every;
    if (last !== undefined && this.events < last.at + pause) return false;
    this.sent.set(part, { text, at: this.events });
    return true;
  }
}
