import { join } from 'node:path';
import { configDefaults, defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** They use every core for minutes: after the others, so that no test of how fast something is runs beside them. */
const PROOF = ['test/{model,simulation,crash}/**/*.spec.ts'];

/** They take minutes, the first the most: begun one after the other they leave no core idle at the end. */
const LONGEST = [
  'demos/incident.spec.ts',
  'package/newcomer.spec.ts',
  'package/package.spec.ts',
  'simulation/campaign.spec.ts',
  'crash/crash.spec.ts',
  'model/spin.spec.ts',
  'model/model.spec.ts',
];

/** They start servers that take their time, or wait for time-outs of servers: `npm run test:ci` has them. */
const LONGER = [
  ...(process.env['TRANSPORTS'] === 'all' ? [] : ['test/transports/longer/**', 'samples/messages/**']),
  ...(process.env['MARIADB'] === 'all' ? [] : ['test/mariadb/longer/**']),
  ...(process.env['LONGER'] === 'all'
    ? []
    : [
        'test/dashboard/{access,acting,demo-page,looking,real-coordinator}.spec.ts',
        'test/demos/incident.spec.ts',
        'test/package/{newcomer,package}.spec.ts',
        // Installs packages, and starts three processes: half a minute.
        'test/e2e/telemetry.spec.ts',
        'test/e2e/{lost-output,postgres-process,process,restart,shared-keys}.spec.ts',
        'src/sqlite/full-disk.spec.ts',
        'test/properties/permutations.spec.ts',
        'test/postgres/{coordinator-claim,failed-statements,given-up-sessions,late-prepares,listing-and-purge,literals,moving,own-server,session-state}.spec.ts',
      ]),
];

/**
 * They test units in memory. The files that one worker runs share their modules, so that these are loaded once. A test that
 * changes what is global to a process belongs elsewhere.
 */
const UNITS = [
  'src/**/*.spec.ts',
  'dashboard/src/**/*.spec.ts',
  'test/{docs,faults,golden,protocol,rungs}/**/*.spec.ts',
];

/**
 * They speak to servers, and change nothing that is global to a process either: here too the files that one worker runs share
 * their modules. To load them for each file took a third of the time.
 */
const WITH_SERVERS = ['test/{client,hostile,mariadb,postgres,properties,remote,rest-at,server}/**/*.spec.ts'];

/** They start applications, or programs, and share their modules too. */
const WITH_APPLICATIONS = ['test/**/*.spec.ts', 'samples/**/*.spec.ts'];

/** They change what is global to a process, or look at it: each has one of its own. */
const ISOLATED = [
  // What a process keeps in memory once its garbage is collected, which takes the longer the more it has loaded.
  'test/properties/{kept,memory}.spec.ts',
  // The lines that the first application of a process writes.
  'test/e2e/{lines-at-once,logs,request-logs}.spec.ts',
  'test/library/loggers.spec.ts',
  // The tracer of a process, its timers and its signals.
  'test/library/{coexistence,group-tracing,members,start-up-warnings,tracing}.spec.ts',
  'samples/{messages,orms,services,tracing}/**/*.spec.ts',
  // The logger of Nest, and sockets.
  'test/transports/**/*.spec.ts',
];

/** The sample with Prisma has packages of its own: `npm run test:ci` tests it. */
const LEFT_OUT = [...configDefaults.exclude, ...LONGER, 'samples/prisma/**'];

/** The longest first, and the others as ever. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    // oxlint-disable-next-line unicorn/no-array-sort -- it is no array
    const asEver = await super.sort(files);
    return asEver.toSorted((one, other) => placeOf(one) - placeOf(other));
  }
}

function placeOf({ moduleId }: TestSpecification): number {
  const index = LONGEST.findIndex((name) => moduleId.endsWith(`/${name}`));
  return index === -1 ? LONGEST.length : index;
}

/** What every run of tests has in common. */
export const shared = defineConfig({
  // A guard: providers are found by their emitted types, whatever transforms the tests.
  oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
  // samples/services imports the library as a package.
  resolve: {
    alias: [
      {
        find: /^nestjs-dtc\/problem$/,
        replacement: join(import.meta.dirname, 'src/operations/problem/index.ts'),
      },
      { find: /^nestjs-dtc\/(\w+)$/, replacement: join(import.meta.dirname, 'src/$1/index.ts') },
    ],
  },
  test: {
    globalSetup: ['test/temporary-files.ts'],
    setupFiles: ['test/setup.ts'],
    // Far more than anything takes, on a slow machine with other work.
    testTimeout: 120_000,
    hookTimeout: 180_000,
    // An event comes at once, but not on such a machine.
    expect: { poll: { timeout: 40_000 } },
  },
});

export default defineConfig({
  ...shared,
  test: {
    ...shared.test,
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: {
          name: 'units',
          include: UNITS,
          exclude: [...LEFT_OUT, ...ISOLATED],
          isolate: false,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'tests',
          include: WITH_APPLICATIONS,
          exclude: [...LEFT_OUT, ...ISOLATED, ...PROOF, ...UNITS, ...WITH_SERVERS],
          isolate: false,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'isolated',
          include: ISOLATED,
          exclude: LEFT_OUT,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'servers',
          include: WITH_SERVERS,
          exclude: [...LEFT_OUT, ...ISOLATED],
          isolate: false,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      { extends: true, test: { name: 'proof', include: PROOF, maxWorkers: 2, sequence: { groupOrder: 1 } } },
    ],
    coverage: {
      include: ['src/{coordinator,mariadb,operations,pino,postgres,sql,sqlite}/**/*.ts'],
      exclude: ['**/*.spec.ts', '**/index.ts'],
    },
  },
});
