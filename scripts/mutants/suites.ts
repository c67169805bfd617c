import { globSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Mutant } from './mutants.ts';

/** Paths of tests, folders and files, that are run together. */
export type Suite = readonly string[];

const LIBRARY: Suite = [
  'test/library/attributes.spec.ts',
  'test/library/events.spec.ts',
  'test/library/declarative.spec.ts',
  'test/library/declarative-keys.spec.ts',
  'test/library/group-tracing.spec.ts',
  'test/library/log-lines.spec.ts',
  'test/library/request-id.spec.ts',
  'test/library/tracing.spec.ts',
];
const REMOTE: Suite = ['src/remote', 'src/host', 'test/remote', 'test/hostile/participant.spec.ts'];
const TRANSPORTS: Suite = ['src/microservices', 'test/transports'];
const CALLERS: Suite = ['src/client', 'test/client', 'test/server'];
const REST_AT: Suite = ['test/rest-at'];
const POSTGRES: Suite = [
  'test/postgres/gid.spec.ts',
  'test/postgres/connections.spec.ts',
  'test/postgres/isolation.spec.ts',
  'test/postgres/failed-statements.spec.ts',
  'test/postgres/branch-session.spec.ts',
  'test/postgres/branch-work.spec.ts',
  'test/postgres/one-query.spec.ts',
  'test/postgres/groups.spec.ts',
  'test/postgres/group-ends.spec.ts',
  'test/postgres/neutral-groups.spec.ts',
  'test/postgres/session-answers.spec.ts',
  'test/postgres/claims-of-logs.spec.ts',
  'test/postgres/log',
  'test/postgres/outbox.spec.ts',
];
const MARIADB: Suite = ['test/mariadb'];

/** The cheapest first; a mutant that is caught is not brought before the next. */
export const SUITES: readonly Suite[] = [
  ['src/coordinator/protocol', 'test/golden'],
  ['src/coordinator/execution'],
  ['src/coordinator'],
  ['test/faults'],
  LIBRARY,
  ['src/outbox'],
  ['src/mariadb', 'src/operations', 'src/pino', 'src/postgres', 'src/sql', 'src/sqlite'],
  REMOTE,
  TRANSPORTS,
  CALLERS,
  REST_AT,
  ['test/properties'],
  POSTGRES,
  MARIADB,
];

/** The suites that are likely to notice the mutants of a list, by its name. They go before the others. */
const LIKELIEST_OF_LIST: Readonly<Record<string, Suite>> = {
  attributes: ['test/library/attributes.spec.ts'],
  'caller-notes': ['test/library/tracing.spec.ts', 'test/library/request-id.spec.ts'],
  callers: CALLERS,
  claims: ['src/sql', 'test/postgres/claims-of-logs.spec.ts'],
  'expiring-votes': ['test/faults/expiring-votes.spec.ts'],
  mariadb: MARIADB,
  'member-calls': ['src/operations/members'],
  members: ['src/coordinator/membership', 'test/faults/members.spec.ts'],
  outbox: ['src/outbox', 'test/postgres/outbox.spec.ts'],
  postgres: POSTGRES,
  remote: REMOTE,
  'rest-at': REST_AT,
  transports: TRANSPORTS,
};

/** The same by what the path of the broken file begins with: they go even before those of its list. */
const LIKELIEST_OF_FOLDER: readonly (readonly [prefix: string, suite: Suite])[] = [
  ['src/coordinator/declarative/', LIBRARY],
  ['src/coordinator/transaction-scope.ts', LIBRARY],
  ['src/coordinator/execution/capacity/', ['test/faults/overload.spec.ts', 'test/faults/enlisting.spec.ts']],
  ['src/coordinator/guard/', REMOTE],
];

/** The names of the lists that have likeliest suites. */
export const LISTS_WITH_LIKELIEST: readonly string[] = Object.keys(LIKELIEST_OF_LIST);

/**
 * The suites that a mutant is brought before, one after the other: the tests beside the file that it breaks,
 * those of its list, and then all others. The order only saves time: a mutant survives when it has passed all
 * of them.
 *
 * @param root the folder with the tests.
 */
export function suitesFor({ file, list }: Pick<Mutant, 'file' | 'list'>, root: string): readonly Suite[] {
  const beside = globSync(`${dirname(file)}/*.spec.ts`, { cwd: root }).map((path) =>
    path.replaceAll('\\', '/'),
  );
  const ofFolder = LIKELIEST_OF_FOLDER.flatMap(([prefix, suite]) => (file.startsWith(prefix) ? [suite] : []));
  const ofList = LIKELIEST_OF_LIST[list];
  return [beside.toSorted(), ...ofFolder, ...(ofList === undefined ? [] : [ofList]), ...SUITES];
}

/**
 * @param wanted folders and files of tests, without a slash at the end.
 * @returns what of a suite is among them: also a file of a folder that the suite names as a whole.
 */
export function amongWanted(suite: Suite, wanted: readonly string[]): Suite {
  const paths = suite.flatMap((path) => {
    if (wanted.some((one) => isWithin(path, one))) return [path];
    return wanted.filter((one) => isWithin(one, path));
  });
  return [...new Set(paths)];
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}
