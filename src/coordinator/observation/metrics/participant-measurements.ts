import { DURATION_BOUNDS_US, Histogram } from '../../histogram.js';
import type { ExpiryMoment, UndecidedBranches } from '../../execution/observer.js';
import { LineWindow } from '../../gate/line-windows.js';
import { roundedMs } from '../durations.js';
import { RecentDurations } from './recent-durations.js';
import type { RegisteredParticipant } from '../../participant/registered-participant.js';

/** The kinds of lines whose number is limited. */
export const LINE_KINDS = [
  'prepare',
  'late-answer',
  'attempt',
  'stalled',
  'vote-expiring',
  'vote-expired',
  'orphan',
  'scan',
  'pending',
  'in-doubt',
  'not-noted',
  'user-code',
  'listener',
  'defect',
] as const;
export type LineKind = (typeof LINE_KINDS)[number];

/** All votes of a participant may expire at once: one line says it. */
const MOST_LINES: Partial<Record<LineKind, number>> = { 'vote-expiring': 1, 'vote-expired': 1 };

/** The number of branches whose durations are counted together. */
const BRANCHES_KEPT = 64;

/** Measurements of one participant beyond its own counts. */
export class ParticipantMeasurements {
  private readonly prepares = new Histogram(DURATION_BOUNDS_US);
  private readonly completions = new Histogram(DURATION_BOUNDS_US);
  /**
   * The durations of the latest branches, which are counted together: of a prepare, and of the completion
   * after it.
   */
  private readonly kept = new Float64Array(2 * BRANCHES_KEPT);
  private keptCount = 0;
  readonly recentPrepares = new RecentDurations(() => this.prepareUs);
  readonly recentCompletions = new RecentDurations(() => this.completionUs);
  /** The number of failed lists of its prepared branches. */
  failedScans = 0;
  /** Its prepared branches of which this coordinator cannot know the decision. */
  undecidable = 0;
  /** Its prepared branches in the latest complete list that this coordinator cannot decide. */
  undecided: UndecidedBranches = { undecidable: 0, foreign: 0, oldest: [] };
  /** Its votes that expired before the decision, or before their branches were completed. */
  readonly expired: Record<ExpiryMoment, number> = { 'before-decision': 0, 'after-decision': 0 };
  private readonly windows = new Map<LineKind, LineWindow>();

  constructor(readonly participant: RegisteredParticipant) {}

  /** From the start of the voting, or of its turn, to the answer, in microseconds. */
  get prepareUs(): Histogram {
    this.countKept();
    return this.prepares;
  }

  /** From the decision to the acknowledgement; of a one-phase commit, from the call. In microseconds. */
  get completionUs(): Histogram {
    this.countKept();
    return this.completions;
  }

  /** A branch has ended. A duration is NaN if there was no answer. */
  observe(prepareUs: number, completionUs: number): void {
    const { kept, keptCount } = this;
    kept[keptCount] = prepareUs;
    kept[keptCount + 1] = completionUs;
    this.keptCount = keptCount + 2;
    if (this.keptCount === kept.length) this.countKept();
  }

  private countKept(): void {
    const { kept, keptCount } = this;
    this.prepares.observeAll(kept, 0, keptCount, 2);
    this.completions.observeAll(kept, 1, keptCount, 2);
    this.keptCount = 0;
  }

  /** @returns the window of the lines of one kind about the participant. */
  lines(kind: LineKind): LineWindow {
    let window = this.windows.get(kind);
    if (window === undefined) {
      window = new LineWindow(kind, { participant: this.participant.name }, MOST_LINES[kind]);
      this.windows.set(kind, window);
    }
    return window;
  }
}

/** Kept beside the participants and not in them, since the registry does not know its observers. */
const measurements = new WeakMap<RegisteredParticipant, ParticipantMeasurements>();

/** @returns the measurements of the participant, from the first call on. */
export function measurementsOf(participant: RegisteredParticipant): ParticipantMeasurements {
  let found = measurements.get(participant);
  if (found === undefined) {
    found = new ParticipantMeasurements(participant);
    measurements.set(participant, found);
  }
  return found;
}

/**
 * The duration of a participant's calls in the last five minutes. A call without an answer in time counts
 * with the time for which its answer was awaited. The quantiles are estimates, and null without a call.
 * @publicApi
 */
export interface Latency {
  readonly count: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
}

/** The durations of a participant's calls in the last five minutes. @publicApi */
export interface ParticipantLatency {
  /** From the start of the voting, or of its turn, to its answer. */
  readonly prepare: Latency;
  /** From the decision to its acknowledgement, with every attempt and pause. */
  readonly completion: Latency;
}

/**
 * @returns the durations of the participant's latest calls: of those in transactions that have ended, and of
 * those without an answer.
 */
export function latencyOf(participant: RegisteredParticipant): ParticipantLatency {
  const { recentPrepares, recentCompletions } = measurementsOf(participant);
  return { prepare: latency(recentPrepares), completion: latency(recentCompletions) };
}

function latency(recent: RecentDurations): Latency {
  return { count: recent.count, p50Ms: quantileMs(recent, 0.5), p99Ms: quantileMs(recent, 0.99) };
}

function quantileMs(recent: RecentDurations, portion: number): number | null {
  const us = recent.quantileUs(portion);
  return us === null ? null : roundedMs(us / 1000);
}
