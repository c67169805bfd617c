import { Inject, Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import { SafeLogger } from '../gate/safe-logger.js';
import { messageOf } from '../gate/texts.js';
import { ParticipantRegistry } from '../participant/participant.registry.js';
import { ABORT_CAUSES } from '../protocol/index.js';
import { measurementsOf } from './metrics/participant-measurements.js';
import { Reporter } from './reporter.js';
import { Snapshot } from './snapshot.js';

/** One point for each. */
const STEP_MS = 5_000;
/** An hour. */
const STEPS = 720;
/** The window of latencies begins a new step with every sixth point. */
const POINTS_PER_LATENCY_STEP = 6;

/** The events of one step, and the state at its end. @publicApi */
export interface HistoryPoint {
  /** The end of the step: ISO 8601. */
  readonly at: string;
  /** Callers that were told this outcome. */
  readonly committed: number;
  readonly pending: number;
  readonly heuristic: number;
  /** Callers that were told aborted, by the cause. A cause without any is left out. */
  readonly aborted: Readonly<Record<string, number>>;
  /** Requests that were refused before anything had started. */
  readonly refused: number;
  readonly inFlight: number;
  readonly inDoubt: number;
  readonly stalled: number;
}

/** The last hour of this process, or less. @publicApi */
export interface HistoryView {
  /** ISO 8601. */
  readonly startedAt: string;
  readonly stepMs: number;
  /** The oldest first. */
  readonly points: readonly HistoryPoint[];
}

/** Counters that only grow. */
interface Totals {
  readonly committed: number;
  readonly pending: number;
  readonly heuristic: number;
  readonly refused: number;
  readonly aborted: ReadonlyMap<string, number>;
}

/**
 * Keeps what the coordinator has done in the last hour, so that an operator who comes late still sees when
 * something began. It reads the counters at a fixed pace; transactions pay nothing for it.
 *
 * @publicApi
 */
@Injectable()
export class History implements OnModuleInit, OnApplicationShutdown {
  private readonly startedAt = new Date().toISOString();
  private readonly points: HistoryPoint[] = [];
  private readonly logger = new SafeLogger(History.name);
  private timer: NodeJS.Timeout | undefined;
  private latest: Totals;
  private steps = 0;

  /** @internal */
  constructor(
    @Inject(CoordinatorRuntime) private readonly runtime: CoordinatorRuntime,
    private readonly participants: ParticipantRegistry,
    private readonly reporter: Reporter,
  ) {
    this.latest = this.totals();
  }

  onModuleInit(): void {
    this.timer = setInterval(() => this.step(), STEP_MS);
    this.timer.unref();
  }

  onApplicationShutdown(): void {
    clearInterval(this.timer);
  }

  view(): HistoryView {
    return { startedAt: this.startedAt, stepMs: STEP_MS, points: [...this.points] };
  }

  /** Ends a step. @internal */
  step(): void {
    try {
      this.points.push(this.point());
      if (this.points.length > STEPS) this.points.shift();
      if (++this.steps % POINTS_PER_LATENCY_STEP === 0) this.stepLatencies();
    } catch (error) {
      this.logger.error(`A point of the history could not be made: ${messageOf(error)}`);
    }
  }

  private point(): HistoryPoint {
    const [before, now] = [this.latest, this.totals()];
    this.latest = now;
    const { inFlight, inDoubt, stalled } = new Snapshot(this.runtime);
    const aborted = Array.from(
      now.aborted,
      ([cause, count]) => [cause, count - before.aborted.get(cause)!] as const,
    );
    return {
      at: new Date().toISOString(),
      committed: now.committed - before.committed,
      pending: now.pending - before.pending,
      heuristic: now.heuristic - before.heuristic,
      aborted: Object.fromEntries(aborted.filter(([, count]) => count > 0)),
      refused: now.refused - before.refused,
      inFlight: inFlight.count,
      inDoubt: inDoubt.count,
      stalled: stalled.count,
    };
  }

  private totals(): Totals {
    const { committed, pending, heuristic, aborted, refusedForNow } = this.reporter.measurements;
    const { refusals } = this.runtime.admission;
    return {
      committed,
      pending,
      heuristic,
      refused: Array.from(refusals.values()).reduce((sum, count) => sum + count, 0),
      aborted: new Map([
        ...ABORT_CAUSES.map((cause, number) => [cause as string, aborted[number]!] as const),
        ['refused-for-now', refusedForNow],
      ]),
    };
  }

  private stepLatencies(): void {
    for (const participant of this.participants.registered()) {
      const { recentPrepares, recentCompletions } = measurementsOf(participant);
      recentPrepares.step();
      recentCompletions.step();
    }
  }
}
