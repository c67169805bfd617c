import { aligned, number } from '../framework/table.js';
import type { ClusterFigures } from './cluster.js';

/** Formats the measurements with several members for people. */
export function clusterTable(cluster: ClusterFigures): string[] {
  const { append, takeovers, takeoverMsP50, takeoverMsMax, leaseMs } = cluster;
  const { survivorsTps, twoMembersTps, survivorsRatio } = cluster;
  return [
    'Three members write decisions to one log on PostgreSQL: decisions a second of all together',
    ...aligned([
      ['wait at each', 'bare insert', 'log', 'ratio'],
      ...append.map(({ waiting, bareTps, tps, ratio }) => [
        number.format(waiting),
        number.format(bareTps),
        number.format(tps),
        ratio.toFixed(2),
      ]),
    ]),
    '',
    `One of three members is killed, ${takeovers} times (lease ${number.format(leaseMs)} ms)`,
    ...aligned(
      [
        ['until all its transactions had their outcome, median', `${number.format(takeoverMsP50)} ms`],
        ['the longest', `${number.format(takeoverMsMax)} ms`],
        ['the two survivors commit, transactions a second', number.format(survivorsTps)],
        ['two members without a third', number.format(twoMembersTps)],
        ['ratio', survivorsRatio.toFixed(2)],
      ],
      [0],
    ),
  ];
}
