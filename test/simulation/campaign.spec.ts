import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, expect, it } from 'vitest';

/** How many schedules every run of the tests goes through; `npm run test:ci` goes on to 200,000. */
const SCHEDULES_IN_TESTS = 50_000;
/** And how many with members that share a log, where it goes on to 10,000. */
const SCHEDULES_OF_MEMBERS_IN_TESTS = 300;
/** And how many whose participants prepare several transactions as one, where it goes on to 20,000. */
const SCHEDULES_OF_GROUPS_IN_TESTS = 1_000;
/** And how many with a participant that cannot prepare, where it goes on to 20,000. */
const SCHEDULES_OF_LAST_RESOURCES_IN_TESTS = 500;
const LIMIT_MS = 900_000;
const MAX_OUTPUT_BYTES = 64 * 2 ** 20;

/** Worlds are young garbage, of which the collector should see much at a time, on the core that made it. */
const FLAGS = ['--min-semi-space-size=64', '--max-semi-space-size=128', '--single-threaded-gc'];
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);

/**
 * The same program as `npm run test:simulation`: compiled, and on all cores, where this runner has but one of
 * them.
 */
async function simulate(...options: string[]): Promise<string> {
  const main = [...FLAGS, 'build/test/simulation/main.js', ...options];
  const { stdout } = await run(process.execPath, main, { cwd: ROOT, maxBuffer: MAX_OUTPUT_BYTES }).catch(
    (error: { stdout: string; message: string }) => ({ stdout: `${error.stdout}\n${error.message}` }),
  );
  return stdout;
}

beforeAll(async () => {
  await run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'test/simulation'], { cwd: ROOT });
}, LIMIT_MS);

it(
  'whatever fails, all branches commit or none does, and every answer was true',
  { timeout: LIMIT_MS },
  async () => {
    const output = await simulate('--schedules', String(SCHEDULES_IN_TESTS));
    console.log(output);
    const summary = output.trimEnd().split('\n').at(-1);
    expect(summary).toContain(`simulation: ${SCHEDULES_IN_TESTS} schedules `);
    expect(summary).toContain(', 0 violations, ');
  },
);

it(
  'whichever members fail, and whatever happens to their log, all branches commit or none does, and every answer was true',
  { timeout: LIMIT_MS },
  async () => {
    const output = await simulate('--members', '--schedules', String(SCHEDULES_OF_MEMBERS_IN_TESTS));
    console.log(output);
    const summary = output.trimEnd().split('\n').at(-1);
    expect(summary).toContain(`simulation of members: ${SCHEDULES_OF_MEMBERS_IN_TESTS} schedules `);
    expect(summary).toContain(', 0 violations, ');
  },
);

it(
  'whatever fails, each member of a group commits everywhere or nowhere, and its caller hears the truth',
  { timeout: LIMIT_MS },
  async () => {
    const output = await simulate('--groups', '--schedules', String(SCHEDULES_OF_GROUPS_IN_TESTS));
    console.log(output);
    const summary = output.trimEnd().split('\n').at(-1);
    expect(summary).toContain(`simulation with groups: ${SCHEDULES_OF_GROUPS_IN_TESTS} schedules `);
    expect(summary).toContain(', 0 violations, ');
    expect(output).toMatch(/[1-9]\d* {2}group committed/);
  },
);

it(
  'whatever fails, all branches follow the one participant that cannot prepare, and every answer was true',
  { timeout: LIMIT_MS },
  async () => {
    const output = await simulate(
      '--last-resources',
      '--schedules',
      String(SCHEDULES_OF_LAST_RESOURCES_IN_TESTS),
    );
    console.log(output);
    const summary = output.trimEnd().split('\n').at(-1);
    expect(summary).toContain(
      `simulation with last resources: ${SCHEDULES_OF_LAST_RESOURCES_IN_TESTS} schedules `,
    );
    expect(summary).toContain(', 0 violations, ');
    expect(output).toMatch(/[1-9]\d* {2}last resource asked: never/);
  },
);
