import type { Settings } from '../settings.js';
import { measureMemory } from './heap.js';
import type { Allocated } from './heap-process.js';
import { type Isolation, measureIsolation } from './isolation.js';
import { type AddedLatency, measureLatency } from './latency.js';
import type { Retained } from './retained.js';
import { type Throughput, measureThroughput } from './throughput.js';

/** All measurements without a log and without a database. */
export interface InMemory {
  readonly inMemory: readonly (Throughput & Allocated)[];
  readonly retained: Retained;
  readonly latency: AddedLatency & Isolation;
}

/** @param progress receives the name of the next measurement. */
export async function measureInMemory(
  settings: Settings,
  progress: (what: string) => void,
): Promise<InMemory> {
  progress('throughput');
  const throughput = await measureThroughput(settings);
  progress('memory');
  const { allocated, retained } = await measureMemory(settings);
  progress('latency');
  const added = await measureLatency(settings);
  progress('participants in trouble');
  const isolation = await measureIsolation(settings);
  return {
    inMemory: throughput.map((level, index) => Object.assign(level, allocated[index]!)),
    retained,
    latency: { ...added, ...isolation },
  };
}
