import type { Pool } from 'pg';
import type { CommitDecision } from '../../src/coordinator/index.js';
import { SqliteDecisionLog } from '../../src/sqlite/index.js';
import type { Contender } from '../framework/contender.js';
import type { Accounts } from './accounts.js';
import { type Pools, closeAll, updateOf } from './plain.js';

const COMMITTED = { status: 'committed' } as const;

/** Keeps a decision before the commits are sent, and drops it after the last one. */
interface Decisions {
  append(decision: CommitDecision): void | Promise<void>;
  end(transactionId: string): void | Promise<void>;
  close(): void | Promise<void>;
}

const NOWHERE: Decisions = { append: () => {}, end: () => {}, close: () => {} };

/**
 * Two-phase commit as a team would write it by hand for these three databases: each phase is one round trip
 * to each database. No failed prepare is undone, no call is repeated, and no process completes transactions
 * after a crash.
 */
export function byHandOver(pools: Pools, draw: () => Accounts, decisions: Decisions = NOWHERE): Contender {
  let sequence = 0;
  const run: Contender['run'] = async () => {
    const id = `${process.pid}.${++sequence}`;
    const accounts = draw();
    const gids = pools.map((_pool, index) => `'${id}.${index}'`);
    await each(pools, (index) => `BEGIN; ${updateOf(accounts[index]!)}; PREPARE TRANSACTION ${gids[index]}`);
    await decisions.append(decisionOf(id, accounts));
    await each(pools, (index) => `COMMIT PREPARED ${gids[index]}`);
    void decisions.end(id);
    return COMMITTED;
  };
  const close = async (): Promise<void> => {
    await decisions.close();
    await closeAll(pools);
  };
  return { name: 'by-hand', run, close };
}

/** The same with a record of each decision in the log that the coordinator uses. */
export async function byHandWithRecordOver(
  pools: Pools,
  draw: () => Accounts,
  folder: string,
): Promise<Contender> {
  const log = new SqliteDecisionLog({ path: folder });
  await log.open('by-hand');
  return { ...byHandOver(pools, draw, log), name: 'by-hand-with-record' };
}

function each(pools: Pools, sqlFor: (index: number) => string): Promise<unknown> {
  return Promise.all(pools.map((pool: Pool, index) => pool.query(sqlFor(index))));
}

function decisionOf(id: string, accounts: Accounts): CommitDecision {
  return {
    id,
    toRecord: () => ({
      id,
      name: 'benchmark',
      decider: { kind: 'log' },
      branches: accounts.map((account, index) => ({
        branchId: String(index),
        participant: String(index),
        payload: { account },
        completed: false,
      })),
    }),
  };
}
