import { aligned, number } from '../framework/table.js';
import type { RemoteLevel } from './remote.js';
import { TRANSPORT_NAMES, type TransportName } from './transports.js';

const RATIO = 0.85;
const ADDED_MS = 0.2;
const AT = 100;
const TARGETED: ReadonlySet<TransportName> = new Set(['http', 'tcp'] as const);

/** Formats the measurements with participants in other processes for people. */
export function remoteTable(levels: readonly RemoteLevel[]): string[] {
  const rows = levels.map((level) => [
    level.transport,
    number.format(level.inFlight),
    number.format(level.floorTps),
    number.format(level.tps),
    level.ratio.toFixed(2),
    level.cpuRatio.toFixed(2),
    number.format(level.pacedTps),
    `${level.floorMsP50.toFixed(2)} ms`,
    `${level.msP50.toFixed(2)} ms`,
    `${level.addedMsP50.toFixed(2)} ms`,
  ]);
  const header = [
    'transport',
    'in flight',
    'floor tx/s',
    'coordinator tx/s',
    'wall-clock ratio',
    'CPU ratio',
    'paced tx/s',
    'floor p50',
    'coordinator p50',
    'added',
  ];
  const missing = TRANSPORT_NAMES.filter((name) => levels.every(({ transport }) => transport !== name));
  return [
    'Three participants that have nothing to do, each in a process of its own: transactions a second',
    ...aligned([header, ...rows], [0]),
    '  The floor sends the same three requests in two rounds of Promise.all, on connections that stay open, to three Nest',
    '  services with plain routes: no checks, no records, no time-outs, no retries. Bodies are as long as the messages.',
    '  Over the transports of Nest it uses one client of Nest for each service.',
    '  Latencies: transactions arrive at a fixed pace, half of the lower of both rates',
    ...levels.filter(({ transport, inFlight }) => TARGETED.has(transport) && inFlight === AT).map(verdictOn),
    ...(missing.length > 0
      ? [`  Not measured, in a quick run or without a broker: ${missing.join(', ')}`]
      : []),
  ];
}

/** The targets of the project: at least 0.85 of the floor, and at most 0.2 ms added. */
export function verdictOn({ transport, inFlight, ratio, addedMsP50 }: RemoteLevel): string {
  const word = (isMet: boolean): string => (isMet ? 'met' : 'not met');
  return (
    `  Targets over ${transport} with ${inFlight} in flight: at least ${RATIO} of the floor, ${word(ratio >= RATIO)}; ` +
    `at most ${ADDED_MS} ms added in the median, ${word(addedMsP50 <= ADDED_MS)}`
  );
}
