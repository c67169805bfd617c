import { aligned, number } from '../framework/table.js';
import type { ColdLevel, Compared } from './cold.js';
import type { Kind } from './contenders.js';
import type { GroupedLevel } from './grouped.js';
import type { HotCompared, HotLevel } from './hot.js';
import type { Postgres } from './postgres.js';

/**
 * Formats the measurements over three databases for people. Beside the figures of each contender is what it
 * guarantees.
 */
export function postgresTable(postgres: Postgres): string[] {
  const { version, flushMs, coldRows, hotRows, cold, hot, grouped } = postgres;
  return [
    `One update in each of three databases of one PostgreSQL ${version} (a flush takes ${flushMs} ms): transactions ` +
      `a second, rows chosen from ${number.format(coldRows)}`,
    ...aligned(coldRowsOf(postgres), [0, cold.length + 1]),
    '',
    'The coordinator in relation to the others',
    ...aligned(ratioRowsOf(cold), [0]),
    '',
    `The same with ${hotRows} rows, in one database or in all three; what is aborted is tried again`,
    ...aligned(hotRowsOf(hot), [0]),
    '',
    'Groups, and three plain transactions over the same rows',
    ...aligned(groupedRowsOf(grouped), [0]),
  ];
}

function coldRowsOf({ cold, guarantees }: Postgres): string[][] {
  const row = (name: string, kind: Kind, tpsOf: (level: ColdLevel) => number): string[] => [
    name,
    ...cold.map((level) => number.format(tpsOf(level))),
    guarantees[kind],
  ];
  return [
    ['', ...cold.map(({ inFlight }) => `${inFlight} in flight`), 'what it guarantees'],
    row('three plain transactions', 'plain', ({ plainTps }) => plainTps),
    row('the same, in one round trip each', 'plain-one-trip', ({ plainOneTripTps }) => plainOneTripTps),
    row('2PC by hand', 'by-hand', ({ byHandTps }) => byHandTps),
    row(
      '2PC by hand, with a record',
      'by-hand-with-record',
      ({ byHandWithRecordTps }) => byHandWithRecordTps,
    ),
    row('coordinator', 'coordinator', ({ interactive }) => interactive.tps),
    row('coordinator, batch work', 'coordinator-batch', ({ batch }) => batch.tps),
    row('coordinator, batch in turn', 'coordinator-in-turn', ({ inTurn }) => inTurn.tps),
    row('coordinator, groups', 'coordinator-grouped', ({ grouped }) => grouped.tps),
    row('DBOS, three steps', 'dbos', ({ dbosTps }) => dbosTps),
  ];
}

function ratioRowsOf(levels: readonly ColdLevel[]): string[][] {
  const rows = levels.flatMap(({ inFlight, interactive, batch, inTurn, grouped }) => [
    ratioRow(`coordinator, ${inFlight} in flight`, interactive),
    ratioRow(`batch work, ${inFlight} in flight`, batch),
    ratioRow(`batch in turn, ${inFlight} in flight`, inTurn),
    ratioRow(`groups, ${inFlight} in flight`, grouped),
  ]);
  return [['', 'to plain', 'to plain, one trip', 'to by hand', 'with a record', 'times DBOS'], ...rows];
}

function ratioRow(name: string, compared: Compared): string[] {
  return [
    name,
    compared.ratioToPlain.toFixed(2),
    compared.ratioToPlainOneTrip.toFixed(2),
    compared.ratioToByHand.toFixed(2),
    compared.ratioToByHandWithRecord.toFixed(2),
    compared.timesDbos.toFixed(1),
  ];
}

function hotRowsOf(levels: readonly HotLevel[]): string[][] {
  const rows = levels.flatMap(({ inFlight, hotDatabases, plain, interactive, batch, inTurn, grouped }) => {
    const where = [`${inFlight}`, `${hotDatabases}`];
    return [
      hotRow('three plain transactions', where, plain),
      hotRow('coordinator', where, interactive),
      hotRow('coordinator, batch work', where, batch),
      hotRow('coordinator, batch in turn', where, inTurn),
      hotRow('coordinator, groups', where, grouped),
    ];
  });
  const header = ['to its cold rows', 'to plain, hot', 'aborted a commit', 'longest pause'];
  return [['', 'in flight', 'hot databases', 'tx/s', ...header], ...rows];
}

function hotRow(name: string, where: readonly string[], hot: HotCompared): string[] {
  return [
    name,
    ...where,
    number.format(hot.tps),
    hot.ratioToCold.toFixed(2),
    hot.ratioToPlain.toFixed(2),
    hot.abortedPerCommit.toFixed(3),
    `${number.format(hot.longestPauseMs)} ms`,
  ];
}

function groupedRowsOf(levels: readonly GroupedLevel[]): string[][] {
  return [
    ['rows', 'in flight', 'refused', 'plain, tx/s', 'groups, tx/s', 'ratio', 'aborted a commit'],
    ...levels.map(({ inFlight, rows, refusedShare, plainTps, tps, ratio, abortsPerCommit }) => [
      rows,
      `${inFlight}`,
      `${refusedShare * 100} %`,
      number.format(plainTps),
      number.format(tps),
      ratio.toFixed(2),
      abortsPerCommit.toFixed(4),
    ]),
  ];
}
