import { SqliteDecisionLog } from '../../src/sqlite/index.js';
import type { Contender } from '../framework/contender.js';
import { startCoordinator } from '../memory/coordinator.js';
import { bareLog } from './bare-log.js';

/** The names of the contenders. */
export const CONTENDER_NAMES = ['bare-log', 'coordinator'] as const;
export type ContenderName = (typeof CONTENDER_NAMES)[number];

/** The folder in which a contender keeps its decisions. */
export interface DurableSetup {
  readonly folder: string;
}

/** Makes a contender whose decisions are flushed to the disk. */
export async function makeContender(name: ContenderName, { folder }: DurableSetup): Promise<Contender> {
  switch (name) {
    case 'bare-log':
      return bareLog(folder);
    case 'coordinator': {
      const log = new SqliteDecisionLog({ path: folder });
      const { app, contender } = await startCoordinator(name, { name: 'benchmark', log });
      return { ...contender, close: () => app.close() };
    }
  }
}
