import type { Compared } from '../postgres/cold.js';
import type { HotCompared } from '../postgres/hot.js';
import type { Report } from '../report.js';
import type { Part } from '../settings.js';

/** How much worse than an earlier figure a figure may be. */
export type Tolerance = { readonly share: number } | { readonly absolute: number };

/**
 * One figure of a run that can be compared with that of another run: a ratio, or a count that does not depend
 * on the machine.
 */
export interface Figure {
  readonly part: Part;
  /** Its name in the baseline, which never changes. */
  readonly key: string;
  /** Its description, for people. */
  readonly title: string;
  readonly value: number;
  readonly better: 'higher' | 'lower';
  readonly tolerance: Tolerance;
  /** The target of the project for it, if there is one. */
  readonly target?: number;
}

/**
 * By how much a figure may be worse than the baseline. The tolerances are chosen by hand. They are larger
 * where two runs of one commit differ more, because a disk, a network or a queue takes part.
 */
export const TOLERANCES = {
  memory: { share: 0.1 },
  bytes: { share: 0.03 },
  latency: { share: 0.3 },
  durable: { share: 0.1 },
  remote: { share: 0.25 },
  postgres: { share: 0.15 },
  hot: { share: 0.3 },
  aborts: { absolute: 0.001 },
  cluster: { share: 0.1 },
  takeover: { share: 0.25 },
  overload: { share: 0.1 },
} as const satisfies Readonly<Record<string, Tolerance>>;

const COMMAS = new Intl.NumberFormat('en');

/** @returns every figure of a run that can be compared, but none of a part that was not measured. */
export function figuresOf(report: Report): Figure[] {
  return [
    ...memoryFigures(report),
    ...durableFigures(report),
    ...remoteFigures(report),
    ...postgresFigures(report),
    ...clusterFigures(report),
    ...overloadFigures(report),
  ];
}

function higher(
  part: Part,
  key: string,
  title: string,
  value: number,
  tolerance: Tolerance,
  target?: number,
): Figure {
  return {
    part,
    key,
    title,
    value,
    better: 'higher',
    tolerance,
    ...(target === undefined ? {} : { target }),
  };
}

function lower(
  part: Part,
  key: string,
  title: string,
  value: number,
  tolerance: Tolerance,
  target?: number,
): Figure {
  return { ...higher(part, key, title, value, tolerance, target), better: 'lower' };
}

function memoryFigures({ inMemory, retained, latency }: Report): Figure[] {
  const figures: Figure[] = [];
  for (const level of inMemory ?? []) {
    const [key, at] = [`memory.${level.inFlight}`, `${COMMAS.format(level.inFlight)} in flight`];
    const lineTarget = level.inFlight === 10_000 ? 0.8 : 0.6;
    figures.push(
      higher('memory', `${key}.ratio`, `of the floor, ${at}`, level.ratio, TOLERANCES.memory, 1),
      higher(
        'memory',
        `${key}.ratioWithLine`,
        `of the floor, with a log line for each transaction, ${at}`,
        level.ratioWithLine,
        TOLERANCES.memory,
        lineTarget,
      ),
    );
    if (level.bytes !== null && level.bytesFloor !== null) {
      const share = rounded(level.bytes / level.bytesFloor);
      figures.push(
        lower('memory', `${key}.bytes`, `bytes, of those of the floor, ${at}`, share, TOLERANCES.bytes, 1),
      );
    }
  }
  if (retained !== null) {
    const kilobytes = rounded(retained.coordinator / 1_000);
    figures.push(
      lower('memory', 'memory.retained', 'kB held for each in flight', kilobytes, TOLERANCES.bytes, 1.5),
    );
  }
  if (latency !== null) {
    const added = rounded(latency.addedUsP50 / latency.floorAddedUsP50);
    figures.push(
      lower('memory', 'memory.latency', 'added latency, of the floor, median', added, TOLERANCES.latency, 1),
      higher(
        'memory',
        'memory.hung',
        'rate while another participant hangs, of the rate before',
        latency.hungRatio,
        TOLERANCES.memory,
        0.95,
      ),
    );
  }
  return figures;
}

function durableFigures({ durable }: Report): Figure[] {
  return (durable?.levels ?? []).map(({ inFlight, ratio }) =>
    higher(
      'durable',
      `durable.${inFlight}.ratio`,
      `of the log alone, ${COMMAS.format(inFlight)} in flight`,
      ratio,
      TOLERANCES.durable,
      0.85,
    ),
  );
}

function remoteFigures({ remote }: Report): Figure[] {
  return (remote ?? []).map(({ transport, inFlight, ratio }) =>
    higher(
      'remote',
      `remote.${transport}.${inFlight}.ratio`,
      `of bare requests, ${transport}, ${inFlight} in flight`,
      ratio,
      TOLERANCES.remote,
      transport === 'http' && inFlight === 100 ? 0.85 : undefined,
    ),
  );
}

const KINDS = ['interactive', 'batch', 'inTurn', 'grouped'] as const;
type PostgresKind = (typeof KINDS)[number];

const KIND_TITLES: Readonly<Record<PostgresKind, string>> = {
  interactive: 'interactive work',
  batch: 'batch work',
  inTurn: 'batch work in turn',
  grouped: 'groups',
};

/** Targets in relation to three plain transactions, by kind and number in flight. */
const PLAIN_TARGETS: Readonly<Record<string, number>> = {
  'interactive.16': 0.65,
  'batch.16': 0.75,
  'grouped.1': 0.55,
  'grouped.16': 2,
  'grouped.64': 4,
};

function postgresFigures({ postgres }: Report): Figure[] {
  const { cold = [], hot = [], grouped = [] } = postgres ?? {};
  return [
    ...cold.flatMap((level) => KINDS.flatMap((kind) => comparedFigures(kind, level.inFlight, level[kind]))),
    ...hot.flatMap(({ inFlight, hotDatabases, ...level }) =>
      KINDS.flatMap((kind) => hotFigures(kind, inFlight, hotDatabases, level[kind])),
    ),
    ...grouped
      .filter(({ refusedShare }) => refusedShare > 0)
      .map(({ inFlight, refusedShare, ratio }) =>
        higher(
          'postgres',
          `postgres.refused.grouped.${inFlight}.ratioToPlain`,
          `groups of which ${rounded(refusedShare * 100)} % are refused, of plain, ${inFlight} in flight`,
          ratio,
          TOLERANCES.postgres,
          2.5,
        ),
      ),
  ];
}

function comparedFigures(kind: PostgresKind, inFlight: number, compared: Compared): Figure[] {
  const [key, at] = [`postgres.cold.${kind}.${inFlight}`, `${KIND_TITLES[kind]}, ${inFlight} in flight`];
  const { ratioToPlain, ratioToByHandWithRecord } = compared;
  const target = PLAIN_TARGETS[`${kind}.${inFlight}`];
  const byHandTarget = kind === 'batch' && inFlight === 16 ? 0.95 : undefined;
  return [
    higher('postgres', `${key}.ratioToPlain`, `of plain, ${at}`, ratioToPlain, TOLERANCES.postgres, target),
    higher(
      'postgres',
      `${key}.ratioToByHandWithRecord`,
      `of 2PC by hand with a record, ${at}`,
      ratioToByHandWithRecord,
      TOLERANCES.postgres,
      byHandTarget,
    ),
  ];
}

function hotFigures(
  kind: PostgresKind,
  inFlight: number,
  hotDatabases: number,
  compared: HotCompared,
): Figure[] {
  const key = `postgres.hot${hotDatabases}.${kind}.${inFlight}`;
  const where = hotDatabases === 1 ? 'hot rows in one database' : 'hot rows in all three';
  const title = `${where}, ${KIND_TITLES[kind]}, ${inFlight} in flight`;
  const isGrouped = kind === 'grouped' && hotDatabases === 3;
  const figures = [
    higher(
      'postgres',
      `${key}.ratioToPlain`,
      `of plain, ${title}`,
      compared.ratioToPlain,
      TOLERANCES.hot,
      isGrouped && inFlight === 64 ? 5 : undefined,
    ),
  ];
  if (isGrouped) {
    const aborts = `${key}.abortsPerCommit`;
    figures.push(
      lower(
        'postgres',
        aborts,
        `aborts for each commit, ${title}`,
        compared.abortedPerCommit,
        TOLERANCES.aborts,
        0.001,
      ),
    );
  }
  return figures;
}

function clusterFigures({ cluster }: Report): Figure[] {
  if (cluster === null) return [];
  const takeover = rounded(cluster.takeoverMsMax / (cluster.leaseMs + 2_000));
  return [
    ...cluster.append.map(({ waiting, ratio }) =>
      higher(
        'cluster',
        `cluster.append.${waiting}.ratio`,
        `shared log, of bare inserts, ${waiting} waiting at each member`,
        ratio,
        TOLERANCES.cluster,
        0.85,
      ),
    ),
    lower(
      'cluster',
      'cluster.takeover',
      'longest takeover, of the lease and 2 s',
      takeover,
      TOLERANCES.takeover,
      1,
    ),
    higher(
      'cluster',
      'cluster.survivors',
      'rate of the survivors, of two members alone',
      cluster.survivorsRatio,
      TOLERANCES.cluster,
      0.9,
    ),
  ];
}

function overloadFigures({ overload }: Report): Figure[] {
  return (overload ?? []).map(({ load, hung, goodputOfBest }) =>
    higher(
      'overload',
      `overload.${load}${hung ? '.hung' : ''}`,
      `of the best rate, ${load} times the load${hung ? ', a participant hangs' : ''}`,
      goodputOfBest,
      TOLERANCES.overload,
      load === 4 ? 0.9 : undefined,
    ),
  );
}

function rounded(value: number): number {
  return Number(value.toFixed(3));
}
