import type { Faults } from './faults.js';
import { Random } from './random.js';
import type { Settings } from './settings.js';

/**
 * What it draws changes nothing of what else happens in a world: those without groups are what they were
 * without it.
 */
const STREAM = 70;
/** Whether a group can be changed changes nothing of what else is drawn. */
const RERUNS = 71;
/** No group without others that arrive at the same time. */
const MAX_BURSTS = 5;
const MAX_CALLERS_OF_A_BURST = 9;
const LONGEST_BURST_MS = 12;
const GROUPING_SHARE = 0.95;
/**
 * Where each call meets a fault no group gets far: in this share of the worlds faults are so much less
 * frequent.
 */
const SOFT_SHARE = 0.6;
const SOFTENED_TO = 0.2;

/** Some callers that arrive at one coordinator, almost at once. */
export interface Burst {
  /** After each arrival the next one comes so much later, in milliseconds. */
  readonly pauses: readonly number[];
}

/** How the participants of a world handle the branches of several transactions. */
export class Grouping {
  readonly bursts: readonly Burst[];

  private constructor(
    readonly settings: Settings,
    random: Random,
  ) {
    this.bursts = Array.from({ length: random.whole(1, MAX_BURSTS) }, () => ({
      pauses: Array.from({ length: random.whole(2, MAX_CALLERS_OF_A_BURST) }, () =>
        random.chance(0.5) ? 0 : (random.next() * LONGEST_BURST_MS) / MAX_CALLERS_OF_A_BURST,
      ),
    }));
  }

  /** @param settings of the same world without groups. */
  static of(seed: number, settings: Settings, faults: Faults): Grouping {
    const random = new Random(seed, STREAM);
    if (random.chance(SOFT_SHARE)) faults.soften(SOFTENED_TO);
    const reruns = new Random(seed, RERUNS).chance(0.6);
    const participants = settings.participants.map((traits) => ({
      ...traits,
      grouping: random.chance(GROUPING_SHARE) ? { goesOn: random.chance(0.6), reruns } : undefined,
    }));
    const options = {
      ...settings.options,
      maxGroupMembers: random.chance(0.5) ? random.whole(2, 5) : settings.options.maxGroupMembers,
      maxGroupBytes: random.chance(0.1) ? random.whole(100, 500) : settings.options.maxGroupBytes,
    };
    return new Grouping({ ...settings, participants, options }, random);
  }
}
