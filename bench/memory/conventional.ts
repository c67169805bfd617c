import { devNull } from 'node:os';
import { destination, pino } from 'pino';
import type { Contender } from '../framework/contender.js';
import { ConventionalCoordinator } from './conventional-coordinator.js';
import { type Trio, WORK } from './participants.js';

/** The conventional coordinator over the same three participants. Its log lines at level info are dropped. */
export function conventionalOver([first, second, third]: Trio): Contender {
  const coordinator = new ConventionalCoordinator(
    new Map([
      ['first', first],
      ['second', second],
      ['third', third],
    ]),
    pino({ level: 'info' }, destination({ dest: devNull, sync: true })),
  );
  const run: Contender['run'] = () =>
    coordinator.execute('benchmark', [
      { participant: 'first', payload: WORK },
      { participant: 'second', payload: WORK },
      { participant: 'third', payload: WORK },
    ]);
  return { name: 'conventional', run };
}
