import { LoneWorld, type LoneWorldOptions } from './lone-world.js';
import { MembersWorld, type MembersWorldOptions } from './members-world.js';
import { Witnesses } from './witnesses.js';
import type { World } from './world.js';

/**
 * How many worlds take turns. After each event the promises of a world have to run their course before its
 * next event, which takes a turn of the event loop; shared by some worlds, the turn costs each of them next
 * to nothing. More worlds would live through more collections of garbage. They have nothing in common, so
 * that none can tell whether others are there.
 */
const WORLDS_AT_A_TIME = 4;

/** A world in which something went wrong. */
export interface Violation {
  readonly seed: number;
  readonly what: string;
}

/** The result of a range of seeds. */
export interface Results {
  readonly schedules: number;
  readonly violations: readonly Violation[];
  readonly witnesses: Witnesses;
}

export interface RunOptions {
  readonly firstSeed: number;
  readonly schedules: number;
  /** Whether several members share the log. @default false */
  readonly members?: boolean | undefined;
  /** Whether participants prepare several transactions as one. @default false */
  readonly groups?: boolean | undefined;
  /** Whether there is a participant that cannot prepare. @default false */
  readonly lastResources?: boolean | undefined;
  readonly fences?: boolean | undefined;
  readonly plantInResource?: LoneWorldOptions['plantInResource'];
  readonly plant?: LoneWorldOptions['plant'];
  readonly plantInMember?: MembersWorldOptions['plantInMember'];
  /** Whether no further world is begun after a violation. */
  readonly stopsAtFirst?: boolean;
}

interface MadeWorld extends LoneWorldOptions, MembersWorldOptions, Pick<RunOptions, 'members'> {}

export function makeWorld({ members = false, ...options }: MadeWorld): World {
  return members ? new MembersWorld(options) : new LoneWorld(options);
}

/** Runs the worlds of a range of seeds. */
export async function runSchedules(options: RunOptions): Promise<Results> {
  const { firstSeed, schedules, stopsAtFirst = false } = options;
  const witnesses = new Witnesses();
  const violations: Violation[] = [];
  let begun = 0;
  let ended = 0;
  const nextWorld = (): World | undefined => {
    if (begun === schedules || (stopsAtFirst && violations.length > 0)) return undefined;
    return makeWorld({ ...options, seed: firstSeed + begun++ });
  };
  await runWorlds(nextWorld, ({ seed, witnesses: seen, judge }) => {
    ended++;
    witnesses.add(seen.entries());
    for (const what of judge.violations) violations.push({ seed, what });
  });
  return { schedules: ended, violations, witnesses };
}

/** Runs one world alone, and writes down what happens. */
export async function replay(seed: number, options: Omit<MadeWorld, 'seed'> = {}): Promise<World> {
  const world = makeWorld({ ...options, seed, transcript: true });
  const worlds = [world];
  await runWorlds(() => worlds.pop());
  return world;
}

/**
 * Runs worlds side by side until there are no more.
 *
 * @param next makes the next world, or none.
 * @param ended is told of each world that has come to its end.
 */
export function runWorlds(next: () => World | undefined, ended?: (world: World) => void): Promise<void> {
  const worlds: World[] = [];
  // An unhandled rejection belongs to one of the present worlds. Only its replay shows which one.
  const unhandled = (error: unknown): void => {
    const what = error instanceof Error ? error.stack : String(error);
    for (const { judge } of worlds)
      judge.violate(`a rejection is not handled, here or in a world nearby: ${what}`);
  };
  process.on('unhandledRejection', unhandled);
  return new Promise((resolve) => {
    let areMore = true;
    const turn = (): void => {
      while (areMore && worlds.length < WORLDS_AT_A_TIME) {
        const world = next();
        if (world === undefined) areMore = false;
        else worlds.push(world);
      }
      for (let index = worlds.length - 1; index >= 0; index--) {
        const world = worlds[index]!;
        if (world.step()) continue;
        worlds.splice(index, 1);
        ended?.(world);
      }
      // All may end in the same turn, with others to come.
      if (areMore || worlds.length > 0) {
        setImmediate(turn);
        return;
      }
      process.off('unhandledRejection', unhandled);
      resolve();
    };
    turn();
  });
}
