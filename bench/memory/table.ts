import { aligned, bytes, number } from '../framework/table.js';
import type { InMemory } from './in-memory.js';

/** Formats the measurements in memory for people. */
export function inMemoryTable({ inMemory, retained, latency }: InMemory): string[] {
  const rows = inMemory.map((level) => [
    number.format(level.inFlight),
    number.format(level.floorTps),
    ofFloor(level.tps, level.ratio, level.cpuRatio),
    ofFloor(level.tpsWithLine, level.ratioWithLine, level.cpuRatioWithLine),
    number.format(level.conventionalTps),
    level.timesConventional.toFixed(1),
    bytes(level.bytesFloor),
    bytes(level.bytes),
    bytes(level.bytesAboveFloor),
    bytes(level.bytesConventional),
  ]);
  const header = [
    'in flight',
    'floor tx/s',
    'coordinator (wall-clock ratio, CPU ratio)',
    'with a log line (wall-clock ratio, CPU ratio)',
    'conventional tx/s',
    'times faster than conventional',
    'floor B/tx',
    'coordinator B/tx',
    'above floor',
    'conventional B/tx',
  ];
  const { addedUsP50, addedUsP99, floorAddedUsP50, floorAddedUsP99, samples } = latency;
  return [
    'Three participants that have nothing to do: transactions a second, and bytes allocated for each',
    ...aligned([header, ...rows]),
    '',
    `Held for one of ${number.format(retained.inFlight)} transactions that are preparing: ` +
      `${bytes(retained.coordinator)}; floor ${bytes(retained.floor)}, conventional ${bytes(retained.conventional)}`,
    '',
    `Added to the slowest prepare and the slowest commit, participants of 1 to 20 ms, ` +
      `${number.format(latency.reachedTps)} tx/s (${number.format(latency.offeredTps)} offered, ` +
      `${number.format(samples)} samples)`,
    ...aligned([
      ['', 'p50', 'p99'],
      ['coordinator', `${addedUsP50} µs`, `${addedUsP99} µs`],
      ['floor', `${floorAddedUsP50} µs`, `${floorAddedUsP99} µs`],
    ]),
    '',
    'Under faults',
    `  A refusal after 10 ms while the others take 500 ms: answered after ${latency.refusalMs} ms`,
    `  While 100 callers keep naming a hung participant (${number.format(latency.hungAbortedTps)} aborts/s): ` +
      `throughput of the others, divided by that before: ${latency.hungRatio.toFixed(2)}`,
  ];
}

function ofFloor(tps: number, ratio: number, cpuRatio: number): string {
  return `${number.format(tps)} (${ratio.toFixed(2)}, ${cpuRatio.toFixed(2)})`;
}
