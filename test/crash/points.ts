import type { CrashOrder, PointName } from './application/crash-points.js';
import type { LogFault, Manner } from './messages.js';

/**
 * The correct end of a group that a kill has interrupted. `torn` destroys the end of its record, so that it
 * is aborted.
 */
export type GroupEnd = 'commits' | 'aborts' | 'torn';

/** A point at which the application is killed, and what it does then. */
export interface CrashPoint {
  readonly name: string;
  /** The transfers that are asked for, all at once. */
  readonly transfers: readonly Manner[];
  /** The fault of the log at the first append. */
  readonly fault?: LogFault;
  /** Whether the application is told to end meanwhile. */
  readonly ending?: boolean;
  readonly at: CrashOrder;
  /** Where the run after is killed as well, while it recovers from the first. */
  readonly then?: CrashOrder;
  /** Whether the application sends messages. */
  readonly sendsMessages?: boolean;
  /** Of transfers of which all but the first are a group: whether the group must commit. */
  readonly group?: GroupEnd;
}

const FIRST = 1;
const LAST = 3;
const PLAIN: readonly Manner[] = ['plain', 'plain', 'plain'];
const REFUSED: readonly Manner[] = ['refused-last', 'refused', 'plain'];
const DOUBTFUL: readonly Manner[] = ['plain', 'plain'];
const REPORTED: readonly Manner[] = ['reported', 'plain'];
const HELD: readonly Manner[] = ['held', 'held', 'plain'];

const SIDES = ['before', 'during', 'after'] as const;

/** The points on all sides of a step. */
function around(step: string, sides: readonly (typeof SIDES)[number][] = SIDES): PointName[] {
  return sides.map((side) => `${side} ${step}` as PointName);
}

/** From the start to the end of transfers that commit. */
function committing(): CrashPoint[] {
  const firstAndLast = [...around('PREPARE TRANSACTION'), ...around('COMMIT PREPARED')].flatMap((point) => [
    { name: `${point}, first branch`, transfers: PLAIN, at: { point, hit: FIRST } },
    { name: `${point}, last branch`, transfers: PLAIN, at: { point, hit: LAST } },
  ]);
  const once = [
    ...around('BEGIN'),
    ...around('work'),
    ...around('log.append'),
    ...around('log.end'),
    ...around('telling', ['before', 'after']),
  ].map((point) => ({ name: point, transfers: PLAIN, at: { point } }));
  return [
    ...once,
    ...firstAndLast,
    {
      name: 'after log.append, of the last of several transactions',
      transfers: PLAIN,
      at: { point: 'after log.append', skip: 2 },
    },
  ];
}

/** Transfers that a participant refuses, before or after the others are prepared. */
function aborting(): CrashPoint[] {
  const points = [
    ...around('ROLLBACK'),
    ...around('ROLLBACK PREPARED'),
    ...around('tombstone'),
    ...around('telling', ['before', 'after']),
  ];
  return points.map((point) => ({ name: `${point}, aborted`, transfers: REFUSED, at: { point } }));
}

/** Transfers of which the log cannot say whether it has taken their decision, or was told a report. */
function doubtful(): CrashPoint[] {
  return [
    ...around('log.lookUp').flatMap((point): CrashPoint[] => [
      {
        name: `${point}, recorded`,
        transfers: DOUBTFUL,
        fault: 'loses the acknowledgement',
        at: { point },
      },
      { name: `${point}, absent`, transfers: DOUBTFUL, fault: 'loses the record', at: { point } },
    ]),
    ...around('log.check').map((point): CrashPoint => ({
      name: point,
      transfers: DOUBTFUL,
      fault: 'loses the acknowledgement',
      at: { point },
    })),
    ...[...around('log.report'), ...around('log.progress'), ...around('log.forget')].map((point) => ({
      name: point,
      transfers: REPORTED,
      at: { point },
    })),
  ];
}

/** The run after a crash is killed as well. */
function recovering(): CrashPoint[] {
  const decided: CrashOrder = { point: 'after log.append' };
  const orphaned: CrashOrder = { point: 'before log.append' };
  const halfCommitted: CrashOrder = { point: 'after COMMIT PREPARED' };
  const whileDelivering = [
    ...around('start', ['before', 'after']),
    ...around('log.open'),
    ...around('checks'),
    ...around('COMMIT PREPARED'),
    ...around('log.end'),
  ].map((point) => ({
    name: `${point}, in recovery`,
    transfers: PLAIN,
    at: decided,
    then: { point },
  }));
  const last: CrashPoint = {
    name: 'after COMMIT PREPARED, last branch, in recovery',
    transfers: PLAIN,
    at: decided,
    then: { point: 'after COMMIT PREPARED', hit: LAST },
  };
  const proving = around('proof').map((point) => ({
    name: `${point}, in recovery`,
    transfers: PLAIN,
    at: halfCommitted,
    then: { point },
  }));
  const ofOrphans = [...around('list'), ...around('ROLLBACK PREPARED'), ...around('tombstone')].map(
    (point) => ({
      name: `${point} of orphans, in recovery`,
      transfers: PLAIN,
      at: orphaned,
      then: { point },
    }),
  );
  const secondList: CrashPoint = {
    name: 'after the second list of orphans, in recovery',
    transfers: PLAIN,
    at: orphaned,
    then: { point: 'after list', hit: 4 },
  };
  return [...whileDelivering, last, ...proving, ...ofOrphans, secondList];
}

/** The application is told to end while transfers are under way. */
function ending(): CrashPoint[] {
  const points = [
    ...around('drain'),
    ...around('log.append'),
    ...around('COMMIT PREPARED'),
    ...around('log.end'),
    ...around('telling', ['before', 'after']),
    ...around('log.close'),
  ];
  return points.map((point) => ({
    name: `${point}, in shutdown`,
    transfers: HELD,
    ending: true,
    at: { point },
  }));
}

/** The first runs by itself, and the three others meet it: they are a group over three databases. */
const GROUPED: readonly Manner[] = ['grouped', 'grouped', 'grouped', 'grouped'];

/** From the work of a group to its end. */
function grouping(): CrashPoint[] {
  const point = (name: string, group: GroupEnd, at: CrashOrder): CrashPoint => ({
    name: `in a group, ${name}`,
    transfers: GROUPED,
    group,
    at,
  });
  // The first comes by before the group does.
  const skip = 1;
  return [
    point('before its work', 'aborts', { point: 'before work of a group' }),
    point('during its work', 'aborts', { point: 'during work of a group' }),
    point('its work done in one database', 'aborts', { point: 'after work of a group' }),
    point('between its work and its prepare', 'aborts', { point: 'before PREPARE TRANSACTION of a group' }),
    point('prepared in one database', 'aborts', { point: 'after PREPARE TRANSACTION of a group' }),
    point('prepared in two databases', 'aborts', { point: 'after PREPARE TRANSACTION of a group', hit: 2 }),
    point('prepared everywhere and not recorded', 'aborts', { point: 'before log.append of a group' }),
    point('its record torn', 'torn', { point: 'after log.append of a group' }),
    point('recorded and told to none', 'commits', { point: 'after log.append of a group' }),
    point('one database told', 'commits', { point: 'after COMMIT PREPARED', skip }),
    point('two databases told', 'commits', { point: 'after COMMIT PREPARED', hit: 2, skip }),
    point('told everywhere and not ended', 'commits', { point: 'before log.end', skip }),
  ];
}

const LAST_DECIDES: readonly Manner[] = ['last', 'plain'];

/** The house decides, which cannot prepare. */
function deciding(): CrashPoint[] {
  const point = (name: string, at: CrashOrder, then?: CrashOrder): CrashPoint => ({
    name: `with a last resource, ${name}`,
    transfers: LAST_DECIDES,
    at,
    ...(then !== undefined && { then }),
  });
  return [
    point('before the record that names it', { point: 'before log.append' }),
    point('during the record that names it', { point: 'during log.append' }),
    point('between the record and the call', { point: 'before last commit' }),
    point('during the call', { point: 'during last commit' }),
    point('after the call, before the commit record', { point: 'after last commit' }),
    ...around('log.progress').map((at) => point(`${at.split(' ')[0]!} the commit record`, { point: at })),
    point('when one of the others has committed', { point: 'after COMMIT PREPARED' }),
    point('when all have committed', { point: 'before log.end' }),
    ...around('inquire').flatMap((asked) => [
      point(`${asked}, not called`, { point: 'before last commit' }, { point: asked }),
      point(`${asked}, committed`, { point: 'after last commit' }, { point: asked }),
    ]),
    {
      name: 'with a last resource, after its refusal',
      transfers: ['refused-by-last', 'plain'],
      at: { point: 'after last commit' },
    },
    {
      name: 'with a last resource, while the others are rolled back',
      transfers: ['refused-by-last', 'plain'],
      at: { point: 'after ROLLBACK PREPARED' },
    },
  ];
}

/** The house votes for a limited time, which is over when the next run is up. */
function expiring(): CrashPoint[] {
  const held: readonly Manner[] = ['expiring', 'plain'];
  const over: readonly Manner[] = ['expired', 'plain'];
  return [
    ...around('hold').map((point): CrashPoint => ({
      name: `with a vote that expires, ${point}`,
      transfers: held,
      at: { point },
    })),
    {
      name: 'with a vote that expires, before the decision',
      transfers: held,
      at: { point: 'before log.append' },
    },
    {
      name: 'with a vote that expires, after the decision',
      transfers: held,
      at: { point: 'after log.append' },
    },
    ...around('settle').map((point): CrashPoint => ({
      name: `with a vote that expires, ${point}`,
      transfers: held,
      at: { point },
    })),
    ...around('release').map((point): CrashPoint => ({
      name: `with a vote that has expired, ${point}`,
      transfers: over,
      at: { point },
    })),
  ];
}

/** The bank of the payee writes a message, which the relay sends when its transfer has committed. */
function messaging(): CrashPoint[] {
  const point = (at: PointName, transfers: readonly Manner[]): CrashPoint => ({
    name: `with a message, ${at}${transfers === PAID ? '' : ', of a refused transfer'}`,
    transfers,
    sendsMessages: true,
    at: { point: at },
  });
  return [
    point('before outbox row', PAID),
    point('after outbox row', PAID),
    point('after log.append', PAID),
    point('after COMMIT PREPARED', PAID),
    point('after claim', PAID),
    ...around('send').map((at) => point(at, PAID)),
    ...around('mark', ['before', 'after']).map((at) => point(at, PAID)),
    point('after ROLLBACK PREPARED', ['refused-messaging', 'messaging']),
  ];
}

const PAID: readonly Manner[] = ['messaging', 'messaging'];

/** Every point, by a name of its own. */
export const CRASH_POINTS: readonly CrashPoint[] = [
  ...committing(),
  ...aborting(),
  ...grouping(),
  ...deciding(),
  ...expiring(),
  ...messaging(),
  ...doubtful(),
  ...recovering(),
  ...ending(),
];
