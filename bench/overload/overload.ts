import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import {
  CoordinatorStatus,
  type Outcome,
  ParticipantRegistry,
  type TransactionParticipant,
  branch,
} from '../../src/coordinator/index.js';
import { SqliteDecisionLog } from '../../src/sqlite/index.js';
import { CoordinatorApplication } from '../framework/coordinator-application.js';
import { median, quantile, round } from '../framework/statistics.js';
import { withTemporaryFolder } from '../framework/temporary-folder.js';
import { COLD_ROWS, type Accounts, accountsDrawn, checkWhole, openDatabases } from '../postgres/accounts.js';
import { AccountsBatchParticipant } from '../postgres/participants.js';
import { withServer } from '../postgres/server.js';
import type { Settings } from '../settings.js';
import { Tally } from './tally.js';

const NAMES = ['first', 'second', 'third'] as const;
const HUNG = 'hung';
/**
 * After this number of transactions comes one that names the participant which never answers, if the level
 * has one.
 */
const HUNG_EVERY = 20;
/** The number of slots that the server of `start:postgres` has. */
const PREPARED_TRANSACTIONS = 900;
/** This number of transactions in flight keeps the databases busy, and none of them waits for long. */
const BUSY_IN_FLIGHT = 48;
const LOADS = [1, 2, 4] as const;
const TICK_MS = 5;

/** The load at one level. */
interface Level {
  readonly load: (typeof LOADS)[number];
  readonly hung: boolean;
}

const LEVELS: readonly Level[] = [...LOADS.map((load) => ({ load, hung: false })), { load: 1, hung: true }];

/** The result of one level in one round. */
interface Sample {
  readonly offeredTps: number;
  readonly tally: Tally;
  readonly stalled: number;
  readonly heapGrowthMib: number;
}

/** The results at one load. */
export interface OverloadLevel {
  /**
   * The number of transactions that arrive, divided by the number that was committed in the closed loop of
   * the same round.
   */
  readonly load: number;
  /** Whether for each twenty transactions one more arrives that names a participant which never answers. */
  readonly hung: boolean;
  /** Transactions a second that arrive, without those. The median of the rounds. */
  readonly offeredTps: number;
  /**
   * Transactions committed a second in the steady state, while others still arrive: the median of the rounds.
   */
  readonly goodput: number;
  /** This rate, divided by the best of all levels. */
  readonly goodputOfBest: number;
  /** In all rounds. */
  readonly refused: number;
  /** How long a refused caller waits for its refusal; null when none was refused. */
  readonly refusalMsP99: number | null;
  /** Transactions that stalled, or whose callers were told that they are pending, in all rounds. */
  readonly stalled: number;
  /** How much larger the heap is after a round and a full collection, in MiB: the most of all rounds. */
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
          const status = app.get(CoordinatorStatus);
          const stalled = (): number => status.condition().stalled;
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
  { overload: { rounds, compileMs, warmUpMs, sliceMs } }: Settings,
): Promise<{ levels: OverloadLevel[]; committed: number }> {
  let { committed } = await closedLoop(run, compileMs, 0);
  const samples = new Map<Level, Sample[]>(LEVELS.map((level) => [level, []]));
  for (let number = 0; number < rounds; number++) {
    const closed = await closedLoop(run, warmUpMs, sliceMs);
    committed += closed.committed;
    for (let turn = 0; turn < LEVELS.length; turn++) {
      // Each level has every position in a round, so that changes over time favour none of them.
      const level = LEVELS[(number + turn) % LEVELS.length]!;
      const heapBefore = heapUsed();
      const offeredTps = closed.goodput * level.load;
      const tally = await openLoop(run, offeredTps, new Tally(warmUpMs, sliceMs), level.hung);
      committed += tally.committed;
      const heapGrowthMib = round((heapUsed() - heapBefore) / 2 ** 20, 1);
      samples.get(level)!.push({ offeredTps, tally, stalled: stalled() + tally.pending, heapGrowthMib });
    }
  }
  return { levels: levelsOf(samples), committed };
}

function levelsOf(samples: ReadonlyMap<Level, readonly Sample[]>): OverloadLevel[] {
  const goodputOf = (all: readonly Sample[]): number => median(all.map(({ tally }) => tally.goodput));
  const best = Math.max(...Array.from(samples.values(), goodputOf));
  return Array.from(samples, ([level, all]) => {
    const refusalsMs = all.flatMap(({ tally }) => tally.refusalsMs);
    return {
      ...level,
      offeredTps: Math.round(median(all.map(({ offeredTps }) => offeredTps))),
      goodput: Math.round(goodputOf(all)),
      goodputOfBest: round(goodputOf(all) / best, 3),
      refused: refusalsMs.length,
      refusalMsP99: refusalsMs.length === 0 ? null : round(quantile(refusalsMs, 0.99), 1),
      stalled: all.reduce((sum, one) => sum + one.stalled, 0),
      heapGrowthMib: Math.max(...all.map(({ heapGrowthMib }) => heapGrowthMib)),
    };
  });
}

/** Keeps the databases busy: when one transaction ends, the next begins. */
async function closedLoop(run: Runner, warmUpMs: number, sliceMs: number): Promise<Tally> {
  const tally = new Tally(warmUpMs, sliceMs);
  const lane = async (): Promise<void> => {
    while (tally.isOpen) {
      const isRefused = await tally.count(run(false));
      if (isRefused) await pause(TICK_MS);
    }
  };
  await Promise.all(Array.from({ length: BUSY_IN_FLIGHT }, lane));
  return tally;
}

/** They arrive at a fixed pace, even if earlier ones have not ended. */
async function openLoop(run: Runner, tps: number, tally: Tally, hung: boolean): Promise<Tally> {
  const begun: Promise<unknown>[] = [];
  for (let arrived = 0; tally.isOpen; await pause(TICK_MS)) {
    for (const due = (tally.elapsedMs / 1_000) * tps; arrived < due; arrived++) {
      begun.push(tally.count(run(false)));
      if (hung && arrived % HUNG_EVERY === 0) begun.push(tally.count(run(true)));
    }
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
