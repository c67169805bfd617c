import type { PostgresServer } from '../../test/support/postgres/server.js';
import type { ContenderRunner } from '../framework/contender-runner.js';
import { type RoundSettings, withRunners } from '../framework/interleaved.js';
import { median, round } from '../framework/statistics.js';
import { type AppendSetup, KINDS, type Kind, type Name, nameOf } from './contenders.js';

/** The measured numbers of decisions that wait at each member. */
export const LEVELS = [1, 16, 256] as const;

/** Decisions a second of all members together. The ratio is the median of the ratios of the single rounds. */
export interface AppendLevel {
  /** How many decisions wait at each member. */
  readonly waiting: number;
  readonly bareTps: number;
  readonly tps: number;
  readonly ratio: number;
}

type Runners = readonly ContenderRunner<Name>[];

/**
 * Compares members in processes of their own, which write decisions to one log, with the same number of
 * processes that insert the same records.
 */
export async function measureAppend(
  server: PostgresServer,
  members: number,
  settings: RoundSettings,
): Promise<AppendLevel[]> {
  const module = new URL('./contenders.js', import.meta.url);
  const { url } = await server.createDatabase();
  const setupOf = (name: Name): AppendSetup => ({ url, ...partsOf(name) });
  const names = KINDS.flatMap((kind) =>
    Array.from({ length: members }, (_, index) => nameOf(kind, index + 1)),
  );
  return withRunners(names, module, setupOf, async (runners) => {
    const levels: AppendLevel[] = [];
    for (const waiting of LEVELS) levels.push(await measureLevel(waiting, runners, settings));
    return levels;
  });
}

/**
 * All members of one kind write at the same time. The two kinds take turns, and each round begins with the
 * other kind.
 */
async function measureLevel(
  waiting: number,
  runners: Runners,
  { rounds, warmUpMs, sliceMs }: RoundSettings,
): Promise<AppendLevel> {
  const ofKind = (kind: Kind): Runners => runners.filter(({ name }) => partsOf(name).kind === kind);
  const counts = new Map<Kind, number>();
  for (const kind of KINDS) {
    const fitting = await Promise.all(
      ofKind(kind).map((runner) => runner.warmUp(waiting, warmUpMs, sliceMs)),
    );
    counts.set(kind, Math.min(...fitting));
  }
  const rates: Record<Kind, number[]> = { bare: [], log: [] };
  for (let number = 0; number < rounds; number++) {
    for (const kind of number % 2 === 0 ? KINDS : KINDS.toReversed()) {
      const startedAt = performance.now();
      const done = await Promise.all(ofKind(kind).map((runner) => runner.run(waiting, counts.get(kind)!)));
      const decisions = done.reduce((sum, { count }) => sum + count, 0);
      rates[kind].push((decisions / (performance.now() - startedAt)) * 1_000);
    }
  }
  const { bare, log } = rates;
  return {
    waiting,
    bareTps: Math.round(median(bare)),
    tps: Math.round(median(log)),
    ratio: round(median(log.map((rate, index) => rate / bare[index]!)), 3),
  };
}

function partsOf(name: Name): { readonly kind: Kind; readonly member: number } {
  const [kind, member] = name.split(' ') as [Kind, string];
  return { kind, member: Number(member) };
}
