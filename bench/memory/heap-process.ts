import { PerformanceObserver } from 'node:perf_hooks';
import { closedLoop, letTimersRun } from '../framework/closed-loop.js';
import type { Contender } from '../framework/contender.js';
import { conventionalOver } from './conventional.js';
import { startCoordinator } from './coordinator.js';
import { floorOver } from './floor.js';
import { type Retained, measureRetained } from './retained.js';
import { median, round } from '../framework/statistics.js';
import { LEVELS } from './throughput.js';

/** Bytes allocated for a transaction, at one number in flight; null when no sample was usable. */
export interface Allocated {
  readonly inFlight: number;
  readonly bytesFloor: number | null;
  readonly bytes: number | null;
  readonly bytesAboveFloor: number | null;
  readonly bytesConventional: number | null;
}

export interface MemoryReport {
  readonly allocated: readonly Allocated[];
  readonly retained: Retained;
}

const MIN_TRANSACTIONS = 1_000;
const WARM_UP_TRANSACTIONS = 30_000;
const WARM_UP_MS = 500;
/**
 * With more transactions in flight, the allocations of the conventional coordinator do not fit into any young
 * generation.
 */
const MAX_CONVENTIONAL_IN_FLIGHT = 1_000;

/** Costs as much as the loop that runs the other contenders. */
const NOTHING: Contender = {
  name: 'nothing',
  run: (
    (answer) => () =>
      answer
  )(Promise.resolve({ status: 'committed' })),
};

let collections = 0;
const observer = new PerformanceObserver((list) => (collections += list.getEntries().length));
observer.observe({ entryTypes: ['gc'] });

async function main(samples: number): Promise<void> {
  const { contender, trio, app } = await startCoordinator('coordinator');
  const floor = floorOver(trio);
  const conventional = conventionalOver(trio);
  const allocated: Allocated[] = [];
  for (const inFlight of LEVELS) {
    const nothing = (await bytesOf(NOTHING, inFlight, samples)) ?? 0;
    const fits = inFlight <= MAX_CONVENTIONAL_IN_FLIGHT;
    const above = async (one: Contender): Promise<number | null> => {
      const bytes = await bytesOf(one, inFlight, samples);
      return bytes === null ? null : bytes - nothing;
    };
    const bytesFloor = await above(floor);
    const bytes = await above(contender);
    const bytesAboveFloor = bytesFloor === null || bytes === null ? null : bytes - bytesFloor;
    allocated.push({
      inFlight,
      bytesFloor,
      bytes,
      bytesAboveFloor,
      bytesConventional: fits ? await above(conventional) : null,
    });
  }
  await app.close();
  const report: MemoryReport = { allocated, retained: await measureRetained() };
  process.send!(report);
}

/**
 * @returns bytes for each transaction, the median of the samples without a garbage collection; null if each
 * sample had one.
 */
async function bytesOf(contender: Contender, inFlight: number, samples: number): Promise<number | null> {
  const count = Math.max(MIN_TRANSACTIONS, inFlight);
  const begunAt = performance.now();
  const isTimeLeft = (): boolean => performance.now() - begunAt < WARM_UP_MS;
  for (let done = 0; done < WARM_UP_TRANSACTIONS && isTimeLeft(); done += count) {
    await closedLoop(contender, inFlight, count);
    await letTimersRun();
  }
  const bytes: number[] = [];
  for (let number = 0; number < samples; number++) {
    await observed();
    const collectionsBefore = collections;
    const before = process.memoryUsage().heapUsed;
    await closedLoop(contender, inFlight, count);
    const after = process.memoryUsage().heapUsed;
    await observed();
    if (collections === collectionsBefore) bytes.push((after - before) / count);
  }
  return bytes.length === 0 ? null : round(median(bytes));
}

/** Node reports collections a little later. */
async function observed(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await letTimersRun();
}

await main(Number(process.argv[2]));
process.disconnect();
observer.disconnect();
