import { SqliteDecisionLog } from '../../src/sqlite/index.js';
import type { CommitDecision } from '../../src/coordinator/index.js';
import type { Contender } from '../framework/contender.js';
import { WORK } from '../memory/participants.js';

const COMMITTED = { status: 'committed' } as const;
const PARTICIPANTS = ['first', 'second', 'third'] as const;

/** The log alone: it appends and ends the records that the coordinator would write, and does nothing else. */
export async function bareLog(folder: string): Promise<Contender> {
  const log = new SqliteDecisionLog({ path: folder });
  const { logId, epoch } = await log.open('benchmark');
  let sequence = 0;
  return {
    name: 'bare-log',
    run: async () => {
      const id = `benchmark.${logId}.${epoch.toString(36)}.${++sequence}`;
      await log.append(decisionOf(id));
      log.end(id);
      return COMMITTED;
    },
    close: () => log.close(),
  };
}

/** @returns a decision over three participants. */
export function decisionOf(id: string): CommitDecision {
  return {
    id,
    toRecord: () => ({
      id,
      name: 'benchmark',
      decider: { kind: 'log' },
      branches: PARTICIPANTS.map((participant) => ({
        branchId: participant,
        participant,
        payload: WORK,
        completed: false,
      })),
    }),
  };
}
