import { closedLoop, letTimersRun } from './closed-loop.js';
import { type ContenderName, makeContender } from './contenders.js';

/** What the measuring process asks: to get warm, or to run so many transactions. */
export type Order =
  | {
      readonly kind: 'warm-up';
      readonly inFlight: number;
      readonly warmUpMs: number;
      readonly sliceMs: number;
    }
  | { readonly kind: 'run'; readonly inFlight: number; readonly count: number };

export interface Answer {
  /** How many transactions were run; to a warm-up, how many fill a slice. */
  readonly count: number;
  readonly tookMs: number;
  /** The processor time of the thread that runs JavaScript. */
  readonly cpuMs: number;
}

/** One contender in a process of its own: neither compiled code nor garbage is shared with the others. */
const contender = await makeContender(process.argv[2] as ContenderName);

/** @returns how many transactions fill a slice when nothing gets in between: by the fastest run there was. */
async function warmUp(inFlight: number, warmUpMs: number, sliceMs: number): Promise<number> {
  const begunAt = performance.now();
  let count = Math.max(inFlight, 100);
  let fastestPerMs = 0;
  let tookMs: number;
  do {
    tookMs = await closedLoop(contender, inFlight, count);
    await letTimersRun();
    fastestPerMs = Math.max(fastestPerMs, count / tookMs);
    if (tookMs < sliceMs / 2) count *= 2;
  } while (performance.now() - begunAt < warmUpMs || tookMs < sliceMs / 2);
  return Math.max(inFlight, Math.round(fastestPerMs * sliceMs));
}

async function obey(order: Order): Promise<Answer> {
  const { inFlight } = order;
  await letTimersRun();
  const cpuBefore = process.threadCpuUsage();
  if (order.kind === 'warm-up') {
    const count = await warmUp(inFlight, order.warmUpMs, order.sliceMs);
    return { count, tookMs: order.sliceMs, cpuMs: cpuMsSince(cpuBefore) };
  }
  const tookMs = await closedLoop(contender, inFlight, order.count);
  return { count: order.count, tookMs, cpuMs: cpuMsSince(cpuBefore) };
}

function cpuMsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1000;
}

process.on('message', (order: Order) => void obey(order).then((answer) => process.send!(answer)));
process.on('disconnect', () => process.exit());
