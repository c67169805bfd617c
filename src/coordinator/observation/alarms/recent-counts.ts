import type { CoordinatorRuntime } from '../../execution/coordinator-runtime.js';
import { quantileOf } from '../../histogram.js';
import { measurementsOf } from '../metrics/participant-measurements.js';
import type { Reporter } from '../reporter.js';

/** The rates are those of five minutes. */
const RATE_MS = 300_000;
/** The most moments at which an event is remembered; beyond these, the second is added to the first. */
const MAX_MOMENTS = 60;

/** Counters that only grow, at one moment. */
interface Totals {
  readonly at: number;
  readonly told: number;
  /**
   * Aborted because a participant failed, was late or lacked a resource, or the decision was not recorded.
   */
  readonly failed: number;
  readonly refused: number;
  /** By participant. */
  readonly attempts: ReadonlyMap<string, AttemptTotals>;
  readonly flushes: Float64Array | undefined;
}

interface AttemptTotals {
  readonly failed: number;
  readonly completed: number;
}

/** How much a counter has grown lately. */
export interface Growth {
  readonly count: number;
  /** When the first of them was noticed, on the coordinator's clock. */
  readonly since: number;
}

/** Remembers when a counter has grown. */
class Events {
  private readonly moments: { at: number; count: number }[] = [];
  /** Events that were counted while the process started are new as well. */
  private total = 0;

  note(total: number, now: number): void {
    const grown = total - this.total;
    this.total = total;
    if (grown <= 0) return;
    this.moments.push({ at: now, count: grown });
    if (this.moments.length > MAX_MOMENTS) this.moments[0]!.count += this.moments.splice(1, 1)[0]!.count;
  }

  /** @returns undefined when it has not grown in that time. Older values are forgotten. */
  within(ms: number, now: number): Growth | undefined {
    while (this.moments.length > 0 && this.moments[0]!.at < now - ms) this.moments.shift();
    if (this.moments.length === 0) return undefined;
    return {
      count: this.moments.reduce((sum, { count }) => sum + count, 0),
      since: this.moments[0]!.at,
    };
  }
}

type EventName = 'orphans' | 'defects' | 'dropped' | 'lost' | 'returns' | 'passes';

/** The causes of aborts that DtcAbortRateHigh counts, beside those that were refused for now. */
const TECHNICAL: ReadonlySet<string> = new Set(['failed', 'timed-out', 'not-recorded', 'expired']);

/**
 * The growth of the counters of this process in the last minutes, as the alert rules see it. The counters are
 * read at a fixed pace.
 */
export class RecentCounts {
  private readonly totals: Totals[] = [];
  private readonly events = {
    orphans: new Events(),
    defects: new Events(),
    dropped: new Events(),
    lost: new Events(),
    returns: new Events(),
    passes: new Events(),
  };
  private readonly scans = new Map<string, Events>();

  constructor(
    private readonly runtime: CoordinatorRuntime,
    private readonly reporter: Reporter,
    private readonly causes: readonly string[],
  ) {
    this.totals.push(this.totalsNow());
  }

  /** Reads the counters. */
  step(): void {
    const totals = this.totalsNow();
    this.totals.push(totals);
    while (this.totals[1] !== undefined && this.totals[1].at <= totals.at - RATE_MS) this.totals.shift();
    this.readEvents(totals.at);
  }

  /** @returns how often this has happened in a time; undefined for never. */
  grown(event: EventName, ms: number): Growth | undefined {
    const { now } = this;
    this.readEvents(now);
    return this.events[event].within(ms, now);
  }

  /** @returns how often the prepared branches of a participant could not be listed in a time. */
  failedScans(participant: string, ms: number): Growth | undefined {
    return this.scans.get(participant)?.within(ms, this.now);
  }

  /**
   * @returns the requests that were refused before a start, and the transactions that ended, in the last
   * minutes.
   */
  get refusals(): { readonly part: number; readonly all: number } {
    const [from, to] = this.span;
    const refused = to.refused - from.refused;
    return { part: refused, all: refused + to.told - from.told };
  }

  /**
   * @returns the transactions that were aborted for technical reasons, and all that ended, in the last
   * minutes.
   */
  get failures(): { readonly part: number; readonly all: number } {
    const [from, to] = this.span;
    return { part: to.failed - from.failed, all: to.told - from.told };
  }

  /**
   * @returns the failed attempts to complete branches of a participant, and all attempts, in the last
   * minutes.
   */
  attemptsAt(participant: string): { readonly part: number; readonly all: number } {
    const [from, to] = this.span;
    const [before, after] = [from.attempts.get(participant), to.attempts.get(participant)];
    if (after === undefined) return { part: 0, all: 0 };
    const failed = after.failed - (before?.failed ?? 0);
    return { part: failed, all: failed + after.completed - (before?.completed ?? 0) };
  }

  /** @returns how long the slowest flush of a hundred has taken in the last minutes, in milliseconds. */
  get slowFlushMs(): number | undefined {
    const { flushes } = this.runtime.parts.log;
    const [{ flushes: before }, { flushes: after }] = this.span;
    if (flushes === undefined || before === undefined || after === undefined) return undefined;
    const us = quantileOf(
      flushes.durationsUs.bounds,
      after.map((count, index) => count - before[index]!),
      0.99,
    );
    return us === null ? undefined : us / 1_000;
  }

  private get now(): number {
    return this.runtime.parts.clock.now();
  }

  private get span(): readonly [from: Totals, to: Totals] {
    return [this.totals[0]!, this.totalsNow()];
  }

  private readEvents(now: number): void {
    const { statistics, measurements, droppedLines } = this.reporter;
    const { adoptions, returns } = this.runtime.members;
    this.events.orphans.note(statistics.orphans, now);
    this.events.defects.note(statistics.defects, now);
    this.events.dropped.note(droppedLines, now);
    this.events.lost.note(adoptions.lost, now);
    this.events.returns.note(returns, now);
    this.events.passes.note(measurements.recoveryPasses, now);
    for (const participant of this.runtime.parts.participants.registered()) {
      const { failedScans } = measurementsOf(participant);
      let events = this.scans.get(participant.name);
      if (events === undefined) this.scans.set(participant.name, (events = new Events()));
      events.note(failedScans, now);
    }
  }

  private totalsNow(): Totals {
    const { measurements } = this.reporter;
    const { parts, admission } = this.runtime;
    const aborted = measurements.aborted.reduce((sum, count) => sum + count, 0) + measurements.refusedForNow;
    const failed = this.causes.reduce(
      (sum, cause, number) => (TECHNICAL.has(cause) ? sum + measurements.aborted[number]! : sum),
      measurements.refusedForNow,
    );
    const attempts = parts.participants
      .registered()
      .map(
        ({ name, counts }) =>
          [name, { failed: counts.failedAttempts, completed: counts.committed + counts.rolledBack }] as const,
      );
    return {
      at: this.now,
      told: measurements.committed + measurements.pending + measurements.heuristic + aborted,
      failed,
      refused: Array.from(admission.refusals.values()).reduce((sum, count) => sum + count, 0),
      attempts: new Map(attempts),
      flushes: parts.log.flushes?.durationsUs.counts,
    };
  }
}
