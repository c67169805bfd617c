import type { CommitRecord } from '../../src/coordinator/index.js';
import { type TestCoordinatorOptions, createTestCoordinator } from '../../src/coordinator/testing/index.js';
import { DECIDER, claimOf } from '../support/identity.js';
import { type LogScript, ScriptedLog } from './scripted-log.js';

/** The id of a transaction that an earlier run has begun. */
export const OLD = 'coordinator.1.7';

/** @returns the record of a commit that no branch has acknowledged. */
export function recordOf(id: string, ...participants: string[]): CommitRecord {
  return {
    id,
    name: 'sale',
    decider: DECIDER,
    branches: participants.map((participant) => ({
      branchId: participant,
      participant,
      payload: { of: participant },
      completed: false,
    })),
  };
}

/** A coordinator in its second epoch, whose log holds what the first has left behind. */
export function restarted(
  decisions: readonly CommitRecord[],
  options: TestCoordinatorOptions = {},
  script: LogScript = {},
) {
  const claim = claimOf({ epoch: 2, decisions });
  const log = new ScriptedLog({ claim, ...script });
  return { ...createTestCoordinator({ log, ...options }), log };
}
