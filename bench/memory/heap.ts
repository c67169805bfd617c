import { fork } from 'node:child_process';
import { once } from 'node:events';
import type { MemoryReport } from './heap-process.js';
import type { Settings } from '../settings.js';

/**
 * The size of a young generation into which the allocations of 10,000 transactions fit without a collection.
 */
const SEMI_SPACE_MB = 256;

/**
 * Measures the memory in a process of its own. Its young generation is so large that no garbage is collected
 * during a measurement, so the growth of the heap is the number of allocated bytes.
 */
export async function measureMemory(settings: Settings): Promise<MemoryReport> {
  const child = fork(new URL('./heap-process.js', import.meta.url), [String(settings.memory.memorySamples)], {
    execArgv: [
      '--expose-gc',
      `--min-semi-space-size=${SEMI_SPACE_MB}`,
      `--max-semi-space-size=${SEMI_SPACE_MB}`,
    ],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  let report: MemoryReport | undefined;
  child.on('message', (message) => (report = message as MemoryReport));
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0 || report === undefined) throw new Error(`the measurement of memory ended with ${code}`);
  return report;
}
