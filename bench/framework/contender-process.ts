import { closedLoop, letTimersRun } from './closed-loop.js';
import type { ContenderModule, Troubles } from './contender.js';
import { pacedLoad } from './paced-load.js';
import { median } from './statistics.js';

/**
 * The requests of the measuring process: to warm up, to run a number of transactions, or to start them at a
 * fixed pace.
 */
export type Order =
  | {
      readonly kind: 'warm-up';
      readonly inFlight: number;
      readonly warmUpMs: number;
      readonly sliceMs: number;
    }
  | { readonly kind: 'run'; readonly inFlight: number; readonly count: number }
  | { readonly kind: 'pace'; readonly tps: number; readonly durationMs: number };

export interface Answer {
  /** How many transactions were run; after a warm-up, how many fill a slice. */
  readonly count: number;
  readonly tookMs: number;
  /** The processor time of the thread that runs JavaScript. */
  readonly cpuMs: number;
  /** How long a transaction took at a fixed pace, in milliseconds: the median. */
  readonly msP50?: number;
  readonly troubles: Troubles | undefined;
  /** How many transactions this process has run so far. */
  readonly ran: number;
}

/** One contender in a process of its own: neither compiled code nor garbage is shared with the others. */
const [, , module, name, setup] = process.argv as [string, string, string, string, string];
const contenders = (await import(module)) as ContenderModule<string, unknown>;
const contender = await contenders.makeContender(name, JSON.parse(setup));

/**
 * The number of transactions with which a warm-up begins. It is small, because transactions that conflict may
 * be very slow.
 */
const FEWEST = 16;

let ran = 0;

async function runAll(inFlight: number, count: number): Promise<number> {
  const tookMs = await closedLoop(contender, inFlight, count);
  ran += count;
  return tookMs;
}

/** @returns how many transactions fill a slice, by the fastest run. */
async function warmUp(inFlight: number, warmUpMs: number, sliceMs: number): Promise<number> {
  const begunAt = performance.now();
  let count = Math.max(inFlight, FEWEST);
  let fastestPerMs = 0;
  let tookMs: number;
  do {
    tookMs = await runAll(inFlight, count);
    await letTimersRun();
    fastestPerMs = Math.max(fastestPerMs, count / tookMs);
    if (tookMs < sliceMs / 2) count *= 2;
  } while (performance.now() - begunAt < warmUpMs || tookMs < sliceMs / 2);
  return Math.max(inFlight, Math.round(fastestPerMs * sliceMs));
}

async function obey(order: Order): Promise<Answer> {
  await letTimersRun();
  if (order.kind === 'pace') return pace(order.tps, order.durationMs);
  const { inFlight } = order;
  const cpuBefore = process.threadCpuUsage();
  if (order.kind === 'warm-up') {
    const count = await warmUp(inFlight, order.warmUpMs, order.sliceMs);
    const cpuMs = cpuMsSince(cpuBefore);
    return { count, tookMs: order.sliceMs, cpuMs, troubles: contender.takeTroubles?.(), ran };
  }
  contender.takeTroubles?.();
  const tookMs = await runAll(inFlight, order.count);
  const cpuMs = cpuMsSince(cpuBefore);
  return { count: order.count, tookMs, cpuMs, troubles: contender.takeTroubles?.(), ran };
}

async function pace(tps: number, durationMs: number): Promise<Answer> {
  const cpuBefore = process.threadCpuUsage();
  contender.takeTroubles?.();
  const took = await pacedLoad(contender, tps, durationMs);
  ran += took.length;
  const cpuMs = cpuMsSince(cpuBefore);
  const troubles = contender.takeTroubles?.();
  return { count: took.length, tookMs: durationMs, cpuMs, msP50: median(took), troubles, ran };
}

function cpuMsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1000;
}

async function leave(): Promise<never> {
  await contender.close?.();
  process.exit();
}

process.on('message', (order: Order) => void obey(order).then((answer) => process.send!(answer)));
process.on('disconnect', () => void leave());
