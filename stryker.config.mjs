/**
 * Mutation testing of what decides, delivers, records and recovers: docs/mutation-testing.md says how to read it.
 *
 * @type {import('@stryker-mutator/api/core').PartialStrykerOptions}
 */
export default {
  mutate: [
    'src/coordinator/{protocol,execution,log,recovery,guard}/**/*.ts',
    'src/coordinator/operator/audit-trail.ts',
    'src/coordinator/participant/claims-of-run.ts',
    'src/sqlite/**/*.ts',
    '!**/*.spec.ts',
    '!**/index.ts',
  ],
  testRunner: 'vitest',
  plugins: ['@stryker-mutator/vitest-runner', './scripts/mutation/prose.mjs'],
  vitest: { configFile: 'vitest.mutation.config.ts', related: false },
  coverageAnalysis: 'perTest',
  ignorers: ['prose'],
  // What runs once, when a module is loaded, cannot be switched on and off between tests.
  ignoreStatic: true,
  concurrency: 2,
  timeoutMS: 3_000,
  timeoutFactor: 2,
  disableTypeChecks: false,
  tempDirName: 'build/mutation/sandbox',
  ignorePatterns: ['/build', '/coverage', '/dist', '/docs', '/bench', '/samples', '/.ci'],
  reporters: ['json', 'progress-append-only'],
  jsonReporter: { fileName: 'build/mutation/report.json' },
  incremental: true,
  incrementalFile: 'build/mutation/incremental.json',
  allowEmpty: true,
  checkers: [],
};
