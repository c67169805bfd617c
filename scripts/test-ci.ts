import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/**
 * The longer rungs, which `npm test` goes through only in part: at most half an hour on two cores. Each is run, whatever
 * becomes of those before it, and what each took is told at the end.
 *
 *     npm run test:ci -- [part of a rung's name ...]
 *
 * A rung whose program is not installed is left out, and the end says so. Exit code 1: one of them failed, or none has such a name.
 */
interface Rung {
  readonly name: string;
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** A program without which it is left out. */
  readonly needs?: string;
}

/** Every seed is fixed, so that a run is the same as the one before. */
const SEED = '20261128';

const LONGER_ON_POSTGRES = [
  'coordinator-claim',
  'failed-statements',
  'given-up-sessions',
  'late-prepares',
  'listing-and-purge',
  'literals',
  'moving',
  'own-server',
  'session-state',
].map((name) => `test/postgres/${name}`);

const RUNGS: readonly Rung[] = [
  { name: 'model', command: ['npm', 'run', 'test:model'] },
  {
    name: 'simulation',
    command: ['npm', 'run', 'test:simulation', '--', '--schedules', '200000', '--seed', '1'],
  },
  {
    name: 'members',
    command: ['npm', 'run', 'test:simulation', '--', '--members', '--schedules', '10000', '--seed', '1'],
  },
  {
    name: 'groups',
    command: ['npm', 'run', 'test:simulation', '--', '--groups', '--schedules', '20000', '--seed', '1'],
  },
  {
    name: 'groups of members',
    command: [
      'npm',
      'run',
      'test:simulation',
      '--',
      '--groups',
      '--members',
      '--schedules',
      '2000',
      '--seed',
      '1',
    ],
  },
  {
    name: 'last resources',
    command: [
      'npm',
      'run',
      'test:simulation',
      '--',
      '--last-resources',
      '--schedules',
      '20000',
      '--seed',
      '1',
    ],
  },
  {
    name: 'last resources of members',
    command: [
      'npm',
      'run',
      'test:simulation',
      '--',
      '--last-resources',
      '--members',
      '--schedules',
      '1500',
      '--seed',
      '1001',
    ],
  },
  { name: 'crash', command: ['npm', 'run', 'test:crash', '--', '--kills', '20', '--seed', SEED] },
  { name: 'cluster', command: ['npm', 'run', 'test:cluster', '--', '--rounds', '2', '--seed', SEED] },
  {
    name: 'hostile',
    command: ['npx', 'vitest', 'run', 'test/hostile', 'test/server/hostile'],
    environment: { HOSTILE_REQUESTS: '50000' },
  },
  {
    name: 'properties',
    command: [
      'npx',
      'vitest',
      'run',
      'test/properties/model.spec',
      'test/properties/races',
      'test/properties/scheduling',
      'test/properties/group',
    ],
    environment: { PROPERTY_RUNS: '10000' },
  },
  { name: 'start', command: ['npm', 'run', 'test:start'] },
  { name: 'crash demo', command: ['npm', 'run', 'demo:crash'] },
  { name: 'mixed demo', command: ['npm', 'run', 'demo:mixed'], needs: 'mariadbd' },
  { name: 'failover', command: ['npm', 'run', 'demo:failover', '--', '--short'] },
  { name: 'services', command: ['npm', 'run', 'demo:services', '--', '--short'] },
  {
    name: 'log failover',
    command: ['npx', 'vitest', 'run', 'test/postgres/log/failover'],
    environment: { LOG_FAILOVERS: 'all' },
  },
  {
    name: 'longer',
    command: [
      'npx',
      'vitest',
      'run',
      'test/dashboard',
      'test/demos/incident.spec',
      'test/package',
      'test/e2e/lost-output',
      'test/e2e/postgres-process',
      'test/e2e/process',
      'test/e2e/restart',
      'test/e2e/shared-keys',
      'test/e2e/telemetry',
      'test/properties/permutations',
      'src/sqlite/full-disk',
      ...LONGER_ON_POSTGRES,
    ],
    environment: { LONGER: 'all' },
  },
  {
    name: 'transports',
    command: ['npx', 'vitest', 'run', 'test/transports', 'samples/messages'],
    environment: { TRANSPORTS: 'all' },
  },
  {
    name: 'mariadb',
    command: ['npx', 'vitest', 'run', 'test/mariadb'],
    environment: { MARIADB: 'all' },
  },
  { name: 'site', command: ['npm', 'run', 'docs:build'] },
  { name: 'jest', command: ['node', 'scripts/package/jest.ts'] },
  { name: 'prisma', command: ['node', 'scripts/package/prisma.ts'] },
  { name: 'mutants', command: ['npm', 'run', 'test:mutants', '--', '--sample', '8', '--seed', SEED] },
];

const ROOT = fileURLToPath(new URL('../', import.meta.url));

/** @returns the exit code; 1 when there is none. */
function run({ command: [program, ...args], environment }: Rung): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const child = spawn(program!, args, {
    cwd: ROOT,
    stdio: 'inherit',
    env: { ...process.env, ...environment },
    // On Windows npm and npx are scripts of the shell.
    shell: process.platform === 'win32',
  });
  child.once('error', reject);
  child.once('close', (code) => resolve(code ?? 1));
  return promise;
}

const wanted = process.argv.slice(2);
const chosen = RUNGS.filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
const lines: string[] = [];
let failures = chosen.length === 0 ? 1 : 0;
const startedAt = performance.now();
for (const rung of chosen) {
  if (rung.needs !== undefined && spawnSync(rung.needs, ['--version']).status !== 0) {
    lines.push(`${rung.name.padEnd(12)} left out: ${rung.needs} is not installed`);
    continue;
  }
  console.log(`\n=== ${rung.name}: ${rung.command.join(' ')}`);
  const since = performance.now();
  const code = await run(rung);
  if (code !== 0) failures++;
  lines.push(
    `${rung.name.padEnd(12)} ${code === 0 ? 'passed' : `FAILED (${code})`}, ${secondsSince(since)} s`,
  );
}
console.log(`\n${lines.join('\n')}`);
console.log(`test:ci: ${chosen.length} rungs, ${failures} failed, ${secondsSince(startedAt)} s`);
if (failures > 0) process.exitCode = 1;

function secondsSince(moment: number): number {
  return Math.round((performance.now() - moment) / 1_000);
}
