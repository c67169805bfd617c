import {
  interleavedRounds,
  medianRatio,
  medianTps,
  type Rates,
  withRunners,
} from '../framework/interleaved.js';
import type { ContenderRunner } from '../framework/contender-runner.js';
import { median, round } from '../framework/statistics.js';
import type { RemoteSettings, Settings } from '../settings.js';
import { CONTENDER_NAMES, type ContenderName, type RemoteSetup } from './contenders.js';
import { withServices } from './service-processes.js';
import { TRANSPORT_NAMES, type TransportName, isMeasurable, withBroker } from './transports.js';

/** The measured numbers of transactions in flight. */
export const LEVELS = [1, 16, 100] as const;
/** While latencies are measured, this share of the lower rate arrives: both contenders can take it. */
const PACED_SHARE = 0.5;

/** The coordinator compared with the bare requests, over one transport at one number in flight. */
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
  /** How long a transaction takes at that pace, in milliseconds: the median. */
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

/** Measures three services, each in a process of its own, over each transport whose broker is installed. */
export async function measureRemote(
  { remote, quick }: Settings,
  progress: (what: string) => void,
): Promise<RemoteLevel[]> {
  const levels: RemoteLevel[] = [];
  for (const transport of TRANSPORT_NAMES) {
    const { levels: inFlight, ...settings } = settingsOf(transport, remote);
    if ((quick && inFlight !== LEVELS) || !isMeasurable(transport)) continue;
    progress(`participants in other processes over ${transport}`);
    levels.push(
      ...(await withContenders(transport, (runners) =>
        measureLevels(transport, inFlight, runners, settings),
      )),
    );
  }
  return levels;
}

/** The transports with a broker are measured at one level, and for a shorter time. */
function settingsOf(
  transport: TransportName,
  remote: RemoteSettings,
): RemoteSettings & { readonly levels: readonly number[] } {
  if (transport === 'http' || transport === 'tcp') return { ...remote, levels: LEVELS };
  return { ...remote, rounds: 3, pacedRounds: 3, compileMs: 1_000, compileAloneMs: 3_000, levels: [100] };
}

function withContenders<Result>(
  transport: TransportName,
  measure: (runners: readonly ContenderRunner<ContenderName>[]) => Promise<Result>,
): Promise<Result> {
  const module = new URL('./contenders.js', import.meta.url);
  return withBroker(transport, (port) =>
    withServices(transport, 'bare', port, (floor) =>
      withServices(transport, 'participant', port, (coordinator) => {
        const addresses = { floor, coordinator };
        const setupOf = (name: ContenderName): RemoteSetup => ({ transport, addresses: addresses[name] });
        return withRunners(CONTENDER_NAMES, module, setupOf, measure);
      }),
    ),
  );
}

async function measureLevels(
  transport: TransportName,
  levels: readonly number[],
  runners: readonly ContenderRunner<ContenderName>[],
  settings: RemoteSettings,
): Promise<RemoteLevel[]> {
  const { compileMs, compileAloneMs, sliceMs, pacedRounds: count, pacedMs } = settings;
  // With many in flight the coordinator sends few messages. So the code that handles one message is warmed up
  // with one in flight.
  for (const runner of runners) {
    await runner.warmUp(1, compileAloneMs, sliceMs);
    await runner.warmUp(Math.max(...levels), compileMs, sliceMs);
  }
  const measured: RemoteLevel[] = [];
  for (const inFlight of levels) {
    const rates = await interleavedRounds(inFlight, runners, settings);
    const paced = await pacedRounds(runners, rates, count, pacedMs);
    measured.push(levelOf(transport, inFlight, rates, paced));
  }
  return measured;
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
