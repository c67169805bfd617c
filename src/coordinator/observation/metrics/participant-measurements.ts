import { DURATION_BOUNDS_US, Histogram } from '../../histogram.js';
import type { ExpiryMoment, UndecidedBranches } from '../../execution/observer.js';
import { LineLimit } from '../line-limit.js';
import { roundedMs } from '../durations.js';
import { RecentDurations } from './recent-durations.js';
import type { RegisteredParticipant } from '../../participant/registered-participant.js';

/** The shortest time between two lines about the votes of one participant that are about to expire, in milliseconds. */
const EXPIRY_LINES_EVERY_MS = 10_000;

/** Measurements of one participant beyond its own counts. */
export class ParticipantMeasurements {
  /** From the start of the voting, or of its turn, to the answer, in microseconds. */
  readonly prepareUs = new Histogram(DURATION_BOUNDS_US);
  /** From the decision to the acknowledgement; of a one-phase commit, from the call. In microseconds. */
  readonly completionUs = new Histogram(DURATION_BOUNDS_US);
  readonly recentPrepares = new RecentDurations(this.prepareUs);
  readonly recentCompletions = new RecentDurations(this.completionUs);
  /** The number of failed lists of its prepared branches. */
  failedScans = 0;
  /** Its prepared branches of which this coordinator cannot know the decision. */
  undecidable = 0;
  /** Its prepared branches in the latest complete list that this coordinator cannot decide. */
  undecided: UndecidedBranches = { undecidable: 0, foreign: 0, oldest: [] };
  /** Its votes that expired before the decision, or before their branches were completed. */
  readonly expired: Record<ExpiryMoment, number> = { 'before-decision': 0, 'after-decision': 0 };
  readonly expiringLines = new LineLimit(EXPIRY_LINES_EVERY_MS);
  readonly expiredLines = new LineLimit(EXPIRY_LINES_EVERY_MS);

  constructor(readonly participant: RegisteredParticipant) {}
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
 * The duration of a participant's calls in the last five minutes. A call without an answer in time counts with the time for
 * which its answer was awaited. The quantiles are estimates, and null without a call.
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

/** @returns the durations of the participant's latest calls: of those in transactions that have ended, and of those without an answer. */
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
