import type { Contender } from '../framework/contender.js';
import { conventionalOver } from './conventional.js';
import { startCoordinator, transactionLines } from './coordinator.js';
import { floorOver } from './floor.js';
import { First, Second, Third } from './participants.js';

/** The names of the contenders. */
export const CONTENDER_NAMES = ['floor', 'coordinator', 'coordinator-with-line', 'conventional'] as const;
export type ContenderName = (typeof CONTENDER_NAMES)[number];

/** Makes a contender over three participants that have nothing to do. */
export async function makeContender(name: ContenderName): Promise<Contender> {
  switch (name) {
    case 'floor':
      return floorOver([new First(), new Second(), new Third()]);
    case 'coordinator':
      return (await startCoordinator(name)).contender;
    case 'coordinator-with-line':
      return (await startCoordinator(name, { lines: transactionLines() })).contender;
    case 'conventional':
      return conventionalOver([new First(), new Second(), new Third()]);
  }
}
