import { rmSync } from 'node:fs';
import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endOnSignal } from '../../src/postgres-server/end-on-signal.js';
import { startDatabasesOfMembers } from '../../src/postgres-server/start-databases.js';
import keepTemporaryFiles from '../../test/temporary-files.js';
import { Story } from './story.js';

/** The variables of the databases of the services and of the log. */
export type DemoEnvironment = Awaited<ReturnType<typeof startDatabasesOfMembers>>['environment'];

/** What is shown: processes of which some are killed. */
export interface Play {
  start(): Promise<void>;
  /** @returns what was wrong. */
  run(): Promise<readonly string[]>;
  /** Ends its processes at once. */
  kill(): void;
  /** The last warnings of its processes. */
  readonly lastLines?: readonly string[];
}

/** How a demo is put on. */
export interface Staging {
  /** The name of its temporary folder. */
  readonly name: string;
  /** Limits for a slow machine. */
  readonly startWithinMs: number;
  readonly endWithinMs: number;
  /** What is told before it starts, and when all was right. */
  readonly opening: (story: Story) => void;
  readonly ending: string;
  /** Options with a value, `--name=value`, beside `--short`. @default none */
  readonly valued?: readonly string[];
  /**
   * @param isShort whether `--short` was given.
   * @param values of the other options that were given.
   */
  readonly play: (
    environment: DemoEnvironment,
    folder: string,
    isShort: boolean,
    story: Story,
    values: ReadonlyMap<string, string>,
  ) => Play;
}

/**
 * Starts PostgreSQL in a temporary folder, shows the demo, and ends the process: with code 0 only if nothing was wrong. It takes the
 * argument `--short`, and those that the demo names.
 */
export async function stage(staging: Staging): Promise<never> {
  const { isShort, values } = optionsOf(process.argv.slice(2), staging.valued ?? []);
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
    const { folder, environment } = await endOnSignal(() => startDatabases(staging.name));
    play = staging.play(environment, folder, isShort, story, values);
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
  valued: readonly string[],
): { readonly isShort: boolean; readonly values: ReadonlyMap<string, string> } {
  const values = new Map<string, string>();
  for (const argument of given.filter((each) => each !== '--short')) {
    const [, name = '', value = ''] = /^([^=]*)=(.*)$/s.exec(argument) ?? [];
    if (!valued.includes(name) || value === '') {
      const known = ['--short', ...valued.map((each) => `${each}=<value>`)].join(', ');
      endWith(`${argument} is no option. The options are: ${known}.`);
    }
    values.set(name, value);
  }
  return { isShort: given.includes('--short'), values };
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
    process.once('exit', () => rmSync(isInMemory ? tmpdir() : folder, { recursive: true, force: true }));
  });
  return { folder, environment };
}

/** Ends the process with what its processes have warned of, and the reason. */
export function endWith(reason: string, lastLines: readonly string[] = []): never {
  if (lastLines.length > 0) {
    const lines = lastLines.map((line) => `  ${line}\n`).join('');
    process.stdout.write(`\nThe last warnings of the processes:\n${lines}`);
  }
  process.stdout.write(`\nFAILED: ${reason}\n`);
  process.exit(1);
}
