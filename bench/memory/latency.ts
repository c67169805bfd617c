import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Branch,
  ParticipantRegistry,
  type TransactionParticipant,
  type Vote,
  branch,
} from '../../src/coordinator/index.js';
import { UnexpectedOutcomeError } from '../framework/contender.js';
import { CoordinatorApplication } from '../framework/coordinator-application.js';
import { twoRounds } from './floor.js';
import { bareBranch } from './participants.js';
import type { Settings } from '../settings.js';
import { median, quantile, round, seededRandom } from '../framework/statistics.js';

/** The time of a transaction beyond the slowest prepare and the slowest commit, in microseconds. */
export interface AddedLatency {
  /** Transactions a second: those that began, and those that ended. */
  readonly offeredTps: number;
  readonly reachedTps: number;
  readonly samples: number;
  readonly addedUsP50: number;
  readonly addedUsP99: number;
  readonly floorAddedUsP50: number;
  readonly floorAddedUsP99: number;
}

/** How long one participant should take, and how long it took in fact. */
interface TimedWork {
  readonly prepareMs: number;
  readonly commitMs: number;
  preparedInMs: number;
  committedInMs: number;
}
type Run = (works: readonly [TimedWork, TimedWork, TimedWork]) => Promise<{ readonly status: string }>;

/**
 * Waits with a timer, and measures how long the wait was, so that a late timer does not count as time of the
 * coordinator.
 */
class TimedParticipant implements TransactionParticipant<TimedWork> {
  async prepare({ payload }: Branch<TimedWork>): Promise<Vote> {
    const begunAt = performance.now();
    await pause(payload.prepareMs);
    payload.preparedInMs = performance.now() - begunAt;
    return 'commit';
  }

  async commit({ payload }: Branch<TimedWork>): Promise<void> {
    const begunAt = performance.now();
    await pause(payload.commitMs);
    payload.committedInMs = performance.now() - begunAt;
  }

  async rollback(): Promise<void> {}
}

const NAMES = ['first', 'second', 'third'] as const;
const MAX_PAUSE_MS = 20;
const TICK_MS = 1;
/** The loads to try, one after the other, until both contenders can take one. */
const OFFERED_TPS = [20_000, 15_000, 10_000, 5_000, 2_500] as const;
const HELD_SHARE = 0.97;
const PROBE_MS = 400;
/** After this time as many transactions end as begin. */
const SETTLED_MS = 60;

export async function measureLatency(settings: Settings): Promise<AddedLatency> {
  const trio = [new TimedParticipant(), new TimedParticipant(), new TimedParticipant()] as const;
  const app = await CoordinatorApplication.start([]);
  NAMES.forEach((name, index) => app.get(ParticipantRegistry).register(trio[index]!, { name }));
  const coordinator: Run = (works) =>
    app.transactions.run({
      name: 'benchmark',
      branches: NAMES.map((name, index) => branch(name, works[index]!)),
    });
  const floor: Run = ([a, b, c]) => twoRounds(trio, bareBranch(a), bareBranch(b), bareBranch(c));

  const random = seededRandom(settings.seed);
  const offeredTps = await heldLoad(coordinator, floor, random);
  const added: number[] = [];
  const floorAdded: number[] = [];
  const reached: number[] = [];
  for (let number = 0; number < settings.memory.latencyRounds; number++) {
    await offer(offeredTps, settings.memory.latencySliceMs, floor, random, floorAdded);
    reached.push(await offer(offeredTps, settings.memory.latencySliceMs, coordinator, random, added));
  }
  await app.close();
  return {
    offeredTps,
    reachedTps: round(median(reached)),
    samples: added.length,
    addedUsP50: round(quantile(added, 0.5), 1),
    addedUsP99: round(quantile(added, 0.99), 1),
    floorAddedUsP50: round(quantile(floorAdded, 0.5), 1),
    floorAddedUsP99: round(quantile(floorAdded, 0.99), 1),
  };
}

/**
 * @returns the highest load that both can take, or the lowest load if they can take none. Both are warm
 * afterwards.
 */
async function heldLoad(coordinator: Run, floor: Run, random: () => number): Promise<number> {
  await offer(OFFERED_TPS[0], PROBE_MS, floor, random, []);
  await offer(OFFERED_TPS[0], PROBE_MS, coordinator, random, []);
  for (const offeredTps of OFFERED_TPS) {
    const floorTps = await offer(offeredTps, PROBE_MS, floor, random, []);
    const tps = await offer(offeredTps, PROBE_MS, coordinator, random, []);
    if (Math.min(floorTps, tps) >= offeredTps * HELD_SHARE) return offeredTps;
  }
  return OFFERED_TPS.at(-1)!;
}

/**
 * Begins transactions at a fixed pace, even if earlier ones have not ended.
 *
 * @param addedUs receives one number for each of them.
 * @returns how many ended in a second during that time.
 */
async function offer(
  offeredTps: number,
  durationMs: number,
  run: Run,
  random: () => number,
  addedUs: number[],
): Promise<number> {
  const loadBegunAt = performance.now();
  let offering = true;
  let counted = 0;
  const one = async (): Promise<void> => {
    const works = [workOf(random), workOf(random), workOf(random)] as const;
    const begunAt = performance.now();
    const outcome = await run(works);
    const endedAt = performance.now();
    if (outcome.status !== 'committed') throw new UnexpectedOutcomeError('the timed load', outcome);
    const [a, b, c] = works;
    const preparesMs = Math.max(a.preparedInMs, b.preparedInMs, c.preparedInMs);
    const commitsMs = Math.max(a.committedInMs, b.committedInMs, c.committedInMs);
    addedUs.push((endedAt - begunAt - preparesMs - commitsMs) * 1000);
    if (offering && endedAt - loadBegunAt > SETTLED_MS) counted++;
  };
  const all: Promise<void>[] = [];
  let elapsedMs = 0;
  for (; elapsedMs < durationMs; elapsedMs = performance.now() - loadBegunAt) {
    while (all.length < (elapsedMs / 1000) * offeredTps) all.push(one());
    await sleep(TICK_MS);
  }
  offering = false;
  await Promise.all(all);
  return (counted / (elapsedMs - SETTLED_MS)) * 1000;
}

function workOf(random: () => number): TimedWork {
  const aPauseMs = (): number => 1 + Math.floor(random() * MAX_PAUSE_MS);
  return { prepareMs: aPauseMs(), commitMs: aPauseMs(), preparedInMs: 0, committedInMs: 0 };
}

function pause(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs));
}
