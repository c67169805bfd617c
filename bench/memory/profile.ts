import { type HeapProfiler, type Profiler } from 'node:inspector';
import { Session } from 'node:inspector/promises';
import { closedLoop, letTimersRun } from '../framework/closed-loop.js';
import type { Contender } from '../framework/contender.js';
import { aligned, bytes, number } from '../framework/table.js';
import { startCoordinator } from './coordinator.js';
import { floorOver } from './floor.js';

/**
 * The steps of a transaction, and the files that take part in each, in the order in which they are looked
 * for.
 */
const STEPS: readonly (readonly [step: string, files: RegExp])[] = [
  ['the caller: its request, and the loop that waits', /\/bench\/(?!memory\/participants)/],
  ['the participants', /\/bench\/memory\/participants/],
  [
    'read the request, admit it, enlist its branches',
    /\/(transaction-manager|transaction-request|branch-request|admission)\.js/,
  ],
  ['find the participants', /\/participant\//],
  ['make the records', /\/(records|given-branch|protocol\/transaction(-id)?)\.js/],
  ['keep, find and drop the transaction', /\/(registry|deadlines|clock)\.js/],
  ['call a participant, and follow its answer', /\/(call|settled|answer)\.js/],
  ['phase one', /\/execution\/(voting|contention)\.js|\/capacity\//],
  ['the decision, and the protocol', /\/protocol\/|\/execution\/decision\.js|\/log\//],
  ['phase two', /\/execution\/(completion|delivery)\.js/],
  ['the outcome and the end', /\/execution\/(outcomes|endings)\.js/],
  ['count, measure and report', /\/(observation\/|execution\/observer|histogram)|opentelemetry/],
  ['pass events from part to part', /\/execution\/|\/groups\//],
];
const COLLECTOR = 'the garbage collector';
const ENGINE = 'the engine: promises, microtasks, compiled code it cannot name';
const COLLECTED = '(garbage collector)';
const IDLE = '(idle)';

const LEVELS = [1, 10_000] as const;
const BATCH = 5_000;
const CPU_INTERVAL_US = 200;
const HEAP_INTERVAL_BYTES = 2_048;

/** The cost of one step of a transaction. */
interface Cost {
  readonly ns: number;
  readonly bytes: number;
}

type Frame = Pick<Profiler.ProfileNode, 'callFrame'>['callFrame'];

/** @returns a table for people of the time and the bytes of each step of a transaction. */
export async function profileMemory(durationMs: number): Promise<string> {
  const { app, contender, trio } = await startCoordinator('coordinator');
  const lines: string[] = [];
  for (const inFlight of LEVELS) {
    const floor = await costs(floorOver(trio), inFlight, durationMs);
    lines.push(...tableOf(inFlight, await costs(contender, inFlight, durationMs), total(floor)), '');
  }
  await app.close();
  return `${lines.join('\n')}\n`;
}

/** Time and bytes are sampled one after the other, because one sampler disturbs the other. */
async function costs(
  contender: Contender,
  inFlight: number,
  durationMs: number,
): Promise<ReadonlyMap<string, Cost>> {
  await run(contender, inFlight, durationMs);
  const { count, cpuMs } = await run(contender, inFlight, durationMs);
  const session = new Session();
  session.connect();
  try {
    const samples = await sampleTime(session, () => run(contender, inFlight, durationMs));
    const sizes = await sampleBytes(session, () => run(contender, inFlight, durationMs));
    let all = 0;
    for (const taken of samples.values()) all += taken;
    const nsOf = (step: string): number => (((samples.get(step) ?? 0) / all) * cpuMs * 1e6) / count;
    const steps = new Set([...samples.keys(), ...sizes.keys()]);
    return new Map([...steps].map((step) => [step, { ns: nsOf(step), bytes: sizes.get(step) ?? 0 }]));
  } finally {
    session.disconnect();
  }
}

/** @returns the number of samples in each step. Their times would include other work of the machine. */
async function sampleTime(session: Session, work: () => Promise<unknown>): Promise<Map<string, number>> {
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: CPU_INTERVAL_US });
  await session.post('Profiler.start');
  await work();
  const { profile } = await session.post('Profiler.stop');
  await session.post('Profiler.disable');
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]));
  const samples = new Map<string, number>();
  for (const id of profile.samples ?? []) {
    const frame = frames.get(id)!;
    if (frame.functionName !== IDLE) add(samples, stepOf(frame), 1);
  }
  return samples;
}

/** @returns bytes for each transaction, by step. */
async function sampleBytes(
  session: Session,
  work: () => Promise<{ readonly count: number }>,
): Promise<Map<string, number>> {
  await session.post('HeapProfiler.enable');
  await session.post('HeapProfiler.startSampling', {
    samplingInterval: HEAP_INTERVAL_BYTES,
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true,
  });
  const { count } = await work();
  const { profile } = await session.post('HeapProfiler.stopSampling');
  await session.post('HeapProfiler.disable');
  const sizes = new Map<string, number>();
  const visit = ({ callFrame, selfSize, children }: HeapProfiler.SamplingHeapProfileNode): void => {
    add(sizes, stepOf(callFrame), selfSize / count);
    children.forEach(visit);
  };
  visit(profile.head);
  return sizes;
}

async function run(
  contender: Contender,
  inFlight: number,
  durationMs: number,
): Promise<{ readonly count: number; readonly cpuMs: number }> {
  const batch = Math.max(BATCH, inFlight);
  const begunAt = performance.now();
  const cpuBefore = process.threadCpuUsage();
  let count = 0;
  do {
    await closedLoop(contender, inFlight, batch);
    await letTimersRun();
    count += batch;
  } while (performance.now() - begunAt < durationMs);
  const { user, system } = process.threadCpuUsage(cpuBefore);
  return { count, cpuMs: (user + system) / 1000 };
}

function stepOf({ functionName, url }: Frame): string {
  if (functionName === COLLECTED) return COLLECTOR;
  return STEPS.find(([, files]) => files.test(url))?.[0] ?? ENGINE;
}

function add(sums: Map<string, number>, step: string, value: number): void {
  sums.set(step, (sums.get(step) ?? 0) + value);
}

function total(all: ReadonlyMap<string, Cost>): Cost {
  let ns = 0;
  let allocated = 0;
  for (const cost of all.values()) {
    ns += cost.ns;
    allocated += cost.bytes;
  }
  return { ns, bytes: allocated };
}

function tableOf(inFlight: number, all: ReadonlyMap<string, Cost>, floor: Cost): string[] {
  const row = (step: string, cost: Cost): string[] => [
    step,
    `${number.format(Math.round(cost.ns))} ns`,
    bytes(Math.round(cost.bytes)),
  ];
  const order = [...STEPS.map(([step]) => step), ENGINE, COLLECTOR];
  const rows = order.flatMap((step) => (all.has(step) ? [row(step, all.get(step)!)] : []));
  return [
    `One transaction of three participants that have nothing to do, ${number.format(inFlight)} in flight`,
    ...aligned(
      [['step', 'time', 'allocated'], ...rows, row('all', total(all)), row('the floor', floor)],
      [0],
    ),
  ];
}
