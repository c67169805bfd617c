import { rmSync } from 'node:fs';
import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endOnSignal } from '../../src/postgres-server/end-on-signal.js';
import { startDatabasesOfMembers } from '../../src/postgres-server/start-databases.js';
import keepTemporaryFiles from '../../test/temporary-files.js';
import type { LastLines } from './last-lines.js';
import { Story } from './story.js';

/** The variables of the databases of the services and of the log. */
export type DemoEnvironment = Awaited<ReturnType<typeof startDatabasesOfMembers>>['environment'];

/**
 * The resources of a demo.
 *
 * @typeParam S the further server that it needs, if any.
 */
export interface Stage<S = undefined> {
  /** The variables of its databases. */
  readonly environment: DemoEnvironment;
  /** A temporary folder, which is removed at the end. */
  readonly folder: string;
  readonly story: Story;
  readonly server: S;
  /** Whether `--short` was given. */
  readonly isShort: boolean;
  /** The values of the other options. */
  readonly values: ReadonlyMap<string, string>;
}

/** A demo: processes of which some are killed. */
export interface Play {
  start(): Promise<void>;
  /** @returns the problems. */
  run(): Promise<readonly string[]>;
  /** Ends its processes at once. */
  kill(): void;
  readonly lastLines: LastLines;
}

/**
 * How to run a demo.
 *
 * @typeParam S the further server that it needs, if any.
 */
export interface Staging<S = undefined> {
  /** The name of its temporary folder. */
  readonly name: string;
  /** Time limits that suit a slow machine. */
  readonly startWithinMs: number;
  readonly endWithinMs: number;
  /** The first text, and the text at the end when all went well. */
  readonly opening: (story: Story) => void;
  readonly ending: string;
  /** Whether it takes `--short`. @default false */
  readonly hasShort?: boolean;
  /** Its options with a value, `--name=value`. @default none */
  readonly valued?: readonly string[];
  /**
   * Starts a server beside PostgreSQL, which ends with this process. A signal that comes meanwhile waits
   * until the server has started.
   */
  readonly startServer?: (folder: string) => Promise<S>;
  readonly play: (stage: Stage<S>) => Play;
}

/**
 * Starts PostgreSQL in a temporary folder, runs the demo, and ends the process: with code 0 only if there was
 * no problem.
 */
export async function stage<S = undefined>(staging: Staging<S>): Promise<never> {
  const { isShort, values } = optionsOf(process.argv.slice(2), staging);
  const story = new Story((line) => process.stdout.write(`${line}\n`));
  let play: Play | undefined;
  const endAfter = (ms: number): NodeJS.Timeout =>
    setTimeout(
      () => endWith(`this has not ended within ${ms / 1_000} s: ${story.scene}`, play?.lastLines),
      ms,
    ).unref();
  const limit = endAfter(staging.startWithinMs);
  try {
    staging.opening(story);
    process.prependOnceListener('exit', () => play?.kill());
    const { folder, environment, server } = await endOnSignal(async () => {
      const started = await startDatabases(staging.name);
      return { ...started, server: (await staging.startServer?.(started.folder)) as S };
    });
    play = staging.play({ environment, folder, server, story, isShort, values });
    await play.start();
    clearTimeout(limit);
    endAfter(staging.endWithinMs);
    const problems = await play.run();
    for (const problem of problems) story.tell(`WRONG: ${problem}`);
    if (problems.length > 0) {
      endWith('not every order is complete, or not every answer was true. Please report it.', play.lastLines);
    }
    story.tell(staging.ending);
  } catch (error) {
    endWith((error as Error).message, play?.lastLines);
  }
  process.exit(0);
}

/** Ends the process when an argument is not known, or has no value. */
function optionsOf(
  given: readonly string[],
  { hasShort = false, valued = [] }: Pick<Staging, 'hasShort' | 'valued'>,
): Pick<Stage, 'isShort' | 'values'> {
  const values = new Map<string, string>();
  const flags = hasShort ? ['--short'] : [];
  for (const argument of given.filter((each) => !flags.includes(each))) {
    const [, name = '', value = ''] = /^([^=]*)=(.*)$/s.exec(argument) ?? [];
    if (!valued.includes(name) || value === '') {
      const known = [...flags, ...valued.map((each) => `${each}=<value>`)].join(', ');
      endWith(`${argument} is no option. ${known === '' ? 'There are none.' : `The options are: ${known}.`}`);
    }
    values.set(name, value);
  }
  return { isShort: flags.some((flag) => given.includes(flag)), values };
}

async function startDatabases(
  name: string,
): Promise<{ readonly folder: string; readonly environment: DemoEnvironment }> {
  // Only processes are killed here, and the machine goes on: so the databases may be in memory.
  const isInMemory = (await keepTemporaryFiles()) !== undefined;
  const folder = await mkdtemp(join(tmpdir(), `${name}-`));
  // PostgreSQL may have to run as another user, who must be able to enter the folder.
  await chmod(folder, 0o755);
  const { environment } = await startDatabasesOfMembers(join(folder, 'postgres')).finally(() => {
    // Node calls these listeners in their order: by then the server has stopped.
    const temporary = isInMemory ? tmpdir() : folder;
    process.once('exit', () => rmSync(temporary, { recursive: true, force: true, maxRetries: 10 }));
  });
  return { folder, environment };
}

/** Prints the warnings of the processes and the reason, and ends this process. */
export function endWith(reason: string, lastLines?: LastLines): never {
  if (lastLines !== undefined && lastLines.texts.length > 0) {
    const lines = lastLines.texts.map((line) => `  ${line}\n`).join('');
    process.stdout.write(`\nThe last warnings of the processes:\n${lines}`);
  }
  process.stdout.write(`\nFAILED: ${reason}\n`);
  process.exit(1);
}
