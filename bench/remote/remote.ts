import {
  interleavedRounds,
  medianRatio,
  medianTps,
  type Rates,
  withRunners,
} from '../framework/interleaved.js';
import type { ContenderRunner } from '../framework/contender-runner.js';
import { median, round } from '../framework/statistics.js';
import type { Settings } from '../settings.js';
import { CONTENDER_NAMES, type ContenderName, type RemoteSetup } from './contenders.js';
import { withServices } from './service-processes.js';

/** The numbers of transactions in flight that everything is measured at. */
export const LEVELS = [1, 16, 100] as const;
/** So much of the lower rate arrives while latencies are measured: both can take it. */
const PACED_SHARE = 0.5;

/** How participants in other processes are reached. */
export type TransportName = 'http';

/** The coordinator against the bare requests, over one transport at one number in flight. */
export interface RemoteLevel {
  readonly transport: TransportName;
  readonly inFlight: number;
  /** Transactions a second: the median of the rounds. */
  readonly floorTps: number;
  readonly tps: number;
  /** The median of the ratios of the single rounds. */
  readonly ratio: number;
  /** The ratio by processor time of the process that starts the transactions. */
  readonly cpuRatio: number;
  /** How many arrive in a second while latencies are measured: half of the lower rate. */
  readonly pacedTps: number;
  /** How long a transaction takes then, in milliseconds: the median. */
  readonly floorMsP50: number;
  readonly msP50: number;
  /** The median of the differences of the single rounds. */
  readonly addedMsP50: number;
}

/** Latencies at a fixed pace, in milliseconds: the median of each round. */
export interface PacedLatencies {
  readonly pacedTps: number;
  readonly rounds: readonly Readonly<Record<ContenderName, number>>[];
}

/** Measures three services behind HTTP, each in a process of its own. */
export function measureRemote({ remote }: Settings): Promise<RemoteLevel[]> {
  const module = new URL('./contenders.js', import.meta.url);
  return withServices('bare', (floor) =>
    withServices('participant', (coordinator) => {
      const addresses = { floor, coordinator };
      const setupOf = (name: ContenderName): RemoteSetup => ({ addresses: addresses[name] });
      return withRunners(CONTENDER_NAMES, module, setupOf, async (runners) => {
        const levels: RemoteLevel[] = [];
        // One after the other is too slow to get code compiled.
        for (const runner of runners)
          await runner.warmUp(Math.max(...LEVELS), remote.compileMs, remote.sliceMs);
        for (const inFlight of LEVELS) {
          const rates = await interleavedRounds(inFlight, runners, remote);
          const paced = await pacedRounds(runners, rates, remote.pacedRounds, remote.sliceMs);
          levels.push(levelOf('http', inFlight, rates, paced));
        }
        return levels;
      });
    }),
  );
}

/** The contenders take turns, and each round begins with the other one. */
async function pacedRounds(
  runners: readonly ContenderRunner<ContenderName>[],
  { floor, coordinator }: Rates<ContenderName>,
  count: number,
  durationMs: number,
): Promise<PacedLatencies> {
  const pacedTps = Math.round(Math.min(medianTps(floor), medianTps(coordinator)) * PACED_SHARE);
  const rounds: Record<ContenderName, number>[] = [];
  for (let number = 0; number < count; number++) {
    const latencies = { floor: Number.NaN, coordinator: Number.NaN };
    for (let turn = 0; turn < runners.length; turn++) {
      const runner = runners[(turn + number) % runners.length]!;
      latencies[runner.name] = await runner.pace(pacedTps, durationMs);
    }
    rounds.push(latencies);
  }
  return { pacedTps, rounds };
}

export function levelOf(
  transport: TransportName,
  inFlight: number,
  { floor, coordinator }: Rates<ContenderName>,
  { pacedTps, rounds }: PacedLatencies,
): RemoteLevel {
  return {
    transport,
    inFlight,
    floorTps: medianTps(floor),
    tps: medianTps(coordinator),
    ratio: round(medianRatio(coordinator, floor), 3),
    cpuRatio: round(medianRatio(coordinator, floor, 'cpuTps'), 3),
    pacedTps,
    floorMsP50: round(median(rounds.map((latencies) => latencies.floor)), 3),
    msP50: round(median(rounds.map((latencies) => latencies.coordinator)), 3),
    addedMsP50: round(median(rounds.map((latencies) => latencies.coordinator - latencies.floor)), 3),
  };
}
