import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import {
  type Outcome,
  ParticipantRegistry,
  type TransactionParticipant,
  branch,
} from '../../src/coordinator/index.js';
import { SqliteDecisionLog } from '../../src/sqlite/index.js';
import { CoordinatorApplication } from '../framework/coordinator-application.js';
import { round } from '../framework/statistics.js';
import { withTemporaryFolder } from '../framework/temporary-folder.js';
import { COLD_ROWS, type Accounts, accountsDrawn, checkWhole, openDatabases } from '../postgres/accounts.js';
import { AccountsBatchParticipant } from '../postgres/participants.js';
import { withServer } from '../postgres/server.js';
import type { Settings } from '../settings.js';
import { Tally } from './tally.js';

const NAMES = ['first', 'second', 'third'] as const;
const HUNG = 'hung';
/** One transaction in so many names the participant that never answers, where there is one. */
const HUNG_SHARE = 20;
/** As many as the server of `start:postgres` has. */
const PREPARED_TRANSACTIONS = 900;
/** So many at once keep the databases busy, and nobody waits for long. */
const BUSY_IN_FLIGHT = 48;
const LOADS = [1, 2, 4] as const;
const TICK_MS = 5;

/** How it goes at one load. */
export interface OverloadLevel {
  /** How many times as many transactions arrive as were committed in a closed loop. */
  readonly load: number;
  /** Whether one transaction in twenty names a participant that never answers. */
  readonly hung: boolean;
  readonly offeredTps: number;
  /** Transactions committed a second, while they arrive. */
  readonly goodput: number;
  /** To the best of all levels. */
  readonly goodputOfBest: number;
  readonly refused: number;
  /** How long a caller that is refused waits for that; null when nobody was. */
  readonly refusalMsP99: number | null;
  /** Transactions that stalled, or whose callers were told that they are pending. */
  readonly stalled: number;
  /** By how much the heap is larger afterwards, after a full collection, in MiB. */
  readonly heapGrowthMib: number;
}

type Runner = (hung: boolean) => Promise<Outcome>;

/** @throws PostgresUnavailableError when there is no server to measure. */
export function measureOverload(settings: Settings): Promise<OverloadLevel[]> {
  return withServer(
    (server) =>
      withTemporaryFolder(async (folder) => {
        const databases = await openDatabases(server);
        const log = new SqliteDecisionLog({ path: join(folder, 'decisions') });
        const app = await CoordinatorApplication.start([], { name: 'overload', log });
        const participants = NAMES.map(
          (name, index) => new AccountsBatchParticipant({ name, connection: databases[index]!.url }),
        );
        let measured: Awaited<ReturnType<typeof measureLevels>>;
        try {
          const registry = app.get(ParticipantRegistry);
          for (const [index, participant] of participants.entries()) {
            registry.register(participant, { name: NAMES[index]! });
            await registry.claim(participant);
          }
          registry.register(NEVER_ANSWERS, { name: HUNG });
          const run = runnerOf(app, accountsDrawn(settings.seed, [COLD_ROWS, COLD_ROWS, COLD_ROWS]));
          const stalled = (): number => registry.list().reduce((sum, { counts }) => sum + counts.stalled, 0);
          measured = await measureLevels(run, stalled, settings);
        } finally {
          await app.close();
          for (const participant of participants) await participant.onApplicationShutdown();
        }
        if (measured.levels.every(({ stalled }) => stalled === 0))
          await checkWhole(databases, measured.committed);
        return measured.levels;
      }),
    { max_prepared_transactions: PREPARED_TRANSACTIONS },
  );
}

async function measureLevels(
  run: Runner,
  stalled: () => number,
  { overload: { warmUpMs, sliceMs } }: Settings,
): Promise<{ levels: OverloadLevel[]; committed: number }> {
  const warmUp = await closedLoop(run, warmUpMs);
  const closed = await closedLoop(run, sliceMs);
  const capacity = closed.goodput;
  const tallies: { load: number; hung: boolean; tally: Tally; stalled: number; heapGrowthMib: number }[] = [];
  for (const [load, hung] of [...LOADS.map((times) => [times, false] as const), [1, true] as const]) {
    const heapBefore = heapUsed();
    const tally = await openLoop(run, capacity * load, sliceMs, hung);
    const heapGrowthMib = round((heapUsed() - heapBefore) / 2 ** 20, 1);
    tallies.push({ load, hung, tally, stalled: stalled() + tally.pending, heapGrowthMib });
  }
  const best = Math.max(...tallies.map(({ tally }) => tally.goodput));
  const levels = tallies.map(({ tally, ...level }) => ({
    ...level,
    offeredTps: Math.round(capacity * level.load),
    goodput: Math.round(tally.goodput),
    goodputOfBest: round(tally.goodput / best, 3),
    refused: tally.refused,
    refusalMsP99: tally.refusalMsP99,
  }));
  const committed = [warmUp, closed, ...tallies.map(({ tally }) => tally)].reduce(
    (sum, one) => sum + one.committed,
    0,
  );
  return { levels, committed };
}

/** As many as keep the databases busy, each followed by the next. */
async function closedLoop(run: Runner, ms: number): Promise<Tally> {
  const tally = new Tally(ms);
  const lane = async (): Promise<void> => {
    while (tally.isOpen) await tally.count(run(false));
  };
  await Promise.all(Array.from({ length: BUSY_IN_FLIGHT }, lane));
  return tally;
}

/** They arrive at a fixed pace, whether those before them are done or not. */
async function openLoop(run: Runner, tps: number, ms: number, hung: boolean): Promise<Tally> {
  const tally = new Tally(ms);
  const begun: Promise<void>[] = [];
  while (tally.isOpen) {
    const due = (tally.elapsedMs / 1_000) * tps;
    while (begun.length < due) begun.push(tally.count(run(hung && begun.length % HUNG_SHARE === 0)));
    await pause(TICK_MS);
  }
  await Promise.all(begun);
  return tally;
}

function runnerOf(app: CoordinatorApplication, draw: () => Accounts): Runner {
  return (hung) => {
    const accounts = draw();
    const branches = NAMES.map((name, index) => branch(name, { account: accounts[index]! }));
    return app.transactions.run({
      name: 'overload',
      branches: hung ? [...branches, branch(HUNG, undefined)] : branches,
    });
  };
}

const NEVER_ANSWERS: TransactionParticipant = {
  prepare: () => new Promise(() => {}),
  commit: () => {},
  rollback: () => {},
};

function heapUsed(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}
