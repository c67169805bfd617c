import type { Faults } from './faults.js';
import type { ParticipantTraits } from './participant.js';
import { Random } from './random.js';
import type { Settings } from './settings.js';

/**
 * What it draws changes nothing of what else is drawn: the other participants are what they are without it.
 */
const STREAM = 80;

/**
 * Adds a participant that cannot prepare. It is a service with keys for its requests: each message may come
 * twice, late, or after another one.
 *
 * @param fences whether it rules a late commit out when it says that it will never commit.
 */
export function withLastResource(seed: number, settings: Settings, faults: Faults, fences = true): Settings {
  const random = new Random(seed, STREAM);
  const traits: ParticipantTraits = {
    name: 'shop',
    isGuarded: true,
    claims: false,
    onePhase: false,
    lists: false,
    heedsSignals: random.chance(0.3),
    prepareTimeoutMs: faults.isCalm ? 5_000 : random.whole(30, 1_000),
    completionTimeoutMs: faults.isCalm ? 5_000 : random.whole(30, 1_000),
    lastResource: { fences },
  };
  return { ...settings, participants: [...settings.participants, traits] };
}
