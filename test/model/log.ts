import type { Step } from './search.js';
import type { World } from './world.js';

/** The log: a record on its way arrives, or never does. */
export function logSteps(): Step<World>[] {
  return [
    {
      name: 'the commit record reaches the log',
      heals: true,
      when: (w) => w.willRecord,
      take: (w) => void (w.recorded = true),
    },
    {
      name: 'the end record reaches the log',
      heals: true,
      when: (w) => w.ending && !w.ended,
      take: (w) => void (w.ended = true),
    },
  ];
}
