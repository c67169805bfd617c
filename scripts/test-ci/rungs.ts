/** A part of the longer tests. */
export interface Rung {
  readonly name: string;
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** A program without which it is left out. */
  readonly needs?: string;
  /** Whether it runs what `build.ts` has compiled. */
  readonly isBuilt?: true;
  /** Whether nothing may run beside it, since it uses every core, or judges how long something takes. */
  readonly alone: boolean;
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

/** What those of the rungs need that are built. */
export const BUILD: Rung = { name: 'build', command: ['node', 'scripts/test-ci/build.ts'], alone: true };

/** In the order in which they begin: those that run beside others first, and of these the longest first. */
export const RUNGS: readonly Rung[] = [
  {
    name: 'mutants',
    command: ['npm', 'run', 'test:mutants', '--', '--sample', '8', '--seed', SEED],
    alone: false,
  },
  { name: 'site', command: ['npm', 'run', 'docs:build'], alone: false },
  {
    name: 'transports',
    command: ['npx', 'vitest', 'run', 'test/transports', 'samples/messages'],
    environment: { TRANSPORTS: 'all' },
    alone: false,
  },
  {
    name: 'services',
    command: ['npm', 'run', 'demo:services', '--', '--short'],
    isBuilt: true,
    alone: false,
  },
  {
    name: 'failover',
    command: ['node', 'build/scripts/failover-demo/run.js', '--short'],
    isBuilt: true,
    alone: false,
  },
  { name: 'jest', command: ['node', 'scripts/package/jest.ts'], alone: false },
  { name: 'crash demo', command: ['node', 'build/scripts/crash-demo/run.js'], isBuilt: true, alone: false },
  { name: 'prisma', command: ['node', 'scripts/package/prisma.ts'], alone: false },
  {
    name: 'mixed demo',
    command: ['node', 'build/scripts/mixed-demo/run.js'],
    needs: 'mariadbd',
    isBuilt: true,
    alone: false,
  },
  {
    name: 'mariadb',
    command: ['npx', 'vitest', 'run', 'test/mariadb'],
    environment: { MARIADB: 'all' },
    alone: false,
  },
  {
    name: 'log failover',
    command: ['npx', 'vitest', 'run', 'test/postgres/log/failover'],
    environment: { LOG_FAILOVERS: 'all' },
    alone: false,
  },
  { name: 'start', command: ['npm', 'run', 'test:start'], alone: false },
  { name: 'model', command: ['node', 'build/test/model/run.js'], isBuilt: true, alone: true },
  { name: 'simulation', ...simulation('--schedules', '200000', '--seed', '1') },
  { name: 'members', ...simulation('--members', '--schedules', '10000', '--seed', '1') },
  { name: 'groups', ...simulation('--groups', '--schedules', '20000', '--seed', '1') },
  { name: 'groups of members', ...simulation('--groups', '--members', '--schedules', '2000', '--seed', '1') },
  { name: 'last resources', ...simulation('--last-resources', '--schedules', '20000', '--seed', '1') },
  {
    name: 'last resources of members',
    ...simulation('--last-resources', '--members', '--schedules', '1500', '--seed', '1001'),
  },
  {
    name: 'crash',
    // One more than there are cores: applications that have been killed are waited for.
    command: ['node', 'build/crash/test/crash/main.js', '--banks', '3', '--kills', '20', '--seed', SEED],
    isBuilt: true,
    alone: true,
  },
  {
    name: 'cluster',
    command: ['node', 'build/test/cluster/main.js', '--rounds', '2', '--seed', SEED],
    isBuilt: true,
    alone: true,
  },
  {
    name: 'hostile',
    command: ['npx', 'vitest', 'run', 'test/hostile', 'test/server/hostile'],
    environment: { HOSTILE_REQUESTS: '50000' },
    alone: true,
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
    alone: true,
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
    alone: true,
  },
];

/** The command of `npm run test:simulation`, built. It takes every core. */
function simulation(...options: readonly string[]): Omit<Rung, 'name'> {
  const flags = ['--min-semi-space-size=64', '--max-semi-space-size=128', '--single-threaded-gc'];
  return {
    command: ['node', ...flags, 'build/test/simulation/main.js', ...options],
    isBuilt: true,
    alone: true,
  };
}
