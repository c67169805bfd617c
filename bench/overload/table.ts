import { aligned, number } from '../framework/table.js';
import type { OverloadLevel } from './overload.js';

/** Formats the measurements under overload for people. */
export function overloadTable(levels: readonly OverloadLevel[]): string[] {
  const rows = levels.map((level) => [
    `${level.load} times${level.hung ? ', and some with a participant that hangs' : ''}`,
    number.format(level.offeredTps),
    number.format(level.goodput),
    level.goodputOfBest.toFixed(2),
    number.format(level.refused),
    level.refusalMsP99 === null ? '-' : `${level.refusalMsP99} ms`,
    `${level.stalled}`,
    `${level.heapGrowthMib} MiB`,
  ]);
  return [
    'Three PostgreSQL databases under more transactions than they can take, which arrive at a fixed pace',
    ...aligned(
      [
        [
          'load',
          'offered tx/s',
          'committed tx/s',
          'of the best',
          'refused',
          'p99 of a refusal',
          'stalled',
          'heap',
        ],
        ...rows,
      ],
      [0],
    ),
  ];
}
