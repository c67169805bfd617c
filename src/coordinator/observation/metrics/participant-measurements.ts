import { DURATION_BOUNDS_US, Histogram } from '../../histogram.js';
import type { UndecidedBranches } from '../../execution/observer.js';
import { roundedMs } from '../durations.js';
import type { RegisteredParticipant } from '../../participant/registered-participant.js';

/** What is measured of one participant, besides what it counts itself. */
export class ParticipantMeasurements {
  /** From the start of the voting, or of its turn, to the answer, in microseconds. */
  readonly prepareUs = new Histogram(DURATION_BOUNDS_US);
  /** From the decision to the acknowledgement; of a one-phase commit, from the call. In microseconds. */
  readonly completionUs = new Histogram(DURATION_BOUNDS_US);
  /** How often it could not list its prepared branches. */
  failedScans = 0;
  /** Its prepared branches of which this coordinator cannot know the decision. */
  undecidable = 0;
  /** Its prepared branches that this coordinator cannot decide, as the latest complete list has them. */
  undecided: UndecidedBranches = { undecidable: 0, foreign: 0, oldest: [] };

  constructor(readonly participant: RegisteredParticipant) {}
}

/** Kept beside the participants and not in them, since the registry does not know who looks on. */
const measurements = new WeakMap<RegisteredParticipant, ParticipantMeasurements>();

/** @returns what is measured of the participant from now on, or has been since the first time. */
export function measurementsOf(participant: RegisteredParticipant): ParticipantMeasurements {
  let found = measurements.get(participant);
  if (found === undefined) {
    found = new ParticipantMeasurements(participant);
    measurements.set(participant, found);
  }
  return found;
}

/** How long a participant takes to do something. The quantiles are estimates, and null while there was no call. @publicApi */
export interface Latency {
  readonly count: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
}

/** How long a participant takes, since the start. @publicApi */
export interface ParticipantLatency {
  /** From the start of the voting, or of its turn, to its answer. */
  readonly prepare: Latency;
  /** From the decision to its acknowledgement, with every attempt and pause that it took. */
  readonly completion: Latency;
}

/** @returns how long the participant took in the transactions that have ended. */
export function latencyOf(participant: RegisteredParticipant): ParticipantLatency {
  const { prepareUs, completionUs } = measurementsOf(participant);
  return { prepare: latency(prepareUs), completion: latency(completionUs) };
}

function latency(histogram: Histogram): Latency {
  return { count: histogram.count, p50Ms: quantileMs(histogram, 0.5), p99Ms: quantileMs(histogram, 0.99) };
}

function quantileMs(histogram: Histogram, portion: number): number | null {
  const us = histogram.quantile(portion);
  return us === null ? null : roundedMs(us / 1000);
}
