import { aligned, number } from '../framework/table.js';
import type { Durable } from './durable.js';

/** Formats the measurements with decisions on disk for people. */
export function durableTable({ flushMs, levels }: Durable): string[] {
  return [
    `Decisions on disk, three participants that have nothing to do: transactions a second (a flush takes ${flushMs} ms)`,
    ...aligned([
      ['in flight', 'log alone', 'coordinator', 'wall-clock ratio', 'CPU ratio'],
      ...levels.map(({ inFlight, bareLogTps, tps, ratio, cpuRatio }) => [
        number.format(inFlight),
        number.format(bareLogTps),
        number.format(tps),
        ratio.toFixed(2),
        cpuRatio.toFixed(2),
      ]),
    ]),
    '  The log alone asks no participant and answers no caller: it is the cost of any coordinator with this log',
  ];
}
