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

/** What a demo gets. @typeParam S the further server that it needs, if any. */
export interface Stage<S = undefined> {
  /** The variables of its databases. */
  readonly environment: DemoEnvironment;
  /** A temporary folder, which is removed at the end. */
  readonly folder: string;
  readonly story: Story;
  readonly server: S;
  /** Whether `--short` was given. */
  readonly isShort: boolean;
  /** Of the other options that were given. */
  readonly values: ReadonlyMap<string, string>;
}

/** What is shown: processes of which some are killed. */
export interface Play {
  start(): Promise<void>;
  /** @returns what was wrong. */
  run(): Promise<readonly string[]>;
  /** Ends its processes at once. */
  kill(): void;
  readonly lastLines: LastLines;
}

/** How a demo is put on. @typeParam S the further server that it needs, if any. */
export interface Staging<S = undefined> {
  /** The name of its temporary folder. */
  readonly name: string;
  /** Limits for a slow machine. */
  readonly startWithinMs: number;
  readonly endWithinMs: number;
  /** What is told before it starts, and when all was right. */
  readonly opening: (story: Story) => void;
  readonly ending: string;
  /** Whether it takes `--short`. @default false */
  readonly hasShort?: boolean;
  /** Its options with a value, `--name=value`. @default none */
  readonly valued?: readonly string[];
  /** Starts a server beside PostgreSQL, which ends with this process. A signal waits until it is there. */
  readonly startServer?: (folder: string) => Promise<S>;
  readonly play: (stage: Stage<S>) => Play;
}

/**
 * Starts PostgreSQL in a temporary folder, shows the demo, and ends the process: with code 0 only if nothing was wrong.
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
  // Processes lose their power here, and the machine does not: so the databases may be in memory.
  const isInMemory = (await keepTemporaryFiles()) !== undefined;
  const folder = await mkdtemp(join(tmpdir(), `${name}-`));
  // PostgreSQL may have to run as another user, who has to get there.
  await chmod(folder, 0o755);
  const { environment } = await startDatabasesOfMembers(join(folder, 'postgres')).finally(() => {
    // What is asked for first is done first: by then the server has stopped.
    const temporary = isInMemory ? tmpdir() : folder;
    process.once('exit', () => rmSync(temporary, { recursive: true, force: true, maxRetries: 10 }));
  });
  return { folder, environment };
}

/** Ends the process with what its processes have warned of, and the reason. */
export function endWith(reason: string, lastLines?: LastLines): never {
  if (lastLines !== undefined && lastLines.texts.length > 0) {
    const lines = lastLines.texts.map((line) => `  ${line}\n`).join('');
    process.stdout.write(`\nThe last warnings of the processes:\n${lines}`);
  }
  process.stdout.write(`\nFAILED: ${reason}\n`);
  process.exit(1);
}
