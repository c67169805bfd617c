import { join } from 'node:path';
import { withRunners } from '../framework/interleaved.js';
import { flushMsIn, withTemporaryFolder } from '../framework/temporary-folder.js';
import type { Settings } from '../settings.js';
import { COLD_ROWS, HOT_ROWS, checkWhole, openDatabases } from './accounts.js';
import { type ColdLevel, measureCold } from './cold.js';
import { KINDS, type Kind, type PostgresSetup } from './contenders.js';
import { type GroupedLevel, REFUSED_NAME, REFUSED_SHARE, measureGrouped } from './grouped.js';
import { GUARANTEES } from './guarantees.js';
import { HOT_NAMES, type HotLevel, type HotName, measureHot } from './hot.js';
import { withServer } from './server.js';

type Name = Kind | HotName | typeof REFUSED_NAME;
const NAMES: readonly Name[] = [...KINDS, ...HOT_NAMES, REFUSED_NAME];

/** Transactions are slow here, so a contender needs more time than elsewhere until its code is compiled. */
const COMPILED_IN_FLIGHT = 16;

/** Three branches in three databases of one server. */
export interface Postgres {
  readonly version: string;
  /** How long a flush of a few bytes takes in the folder of the decisions, in milliseconds. */
  readonly flushMs: number;
  readonly coldRows: number;
  readonly hotRows: number;
  readonly cold: readonly ColdLevel[];
  readonly hot: readonly HotLevel[];
  /** The results of groups: with many rows, with few, and with some refused transactions. */
  readonly grouped: readonly GroupedLevel[];
  /** What the caller of each contender may rely on. The contenders differ in this. */
  readonly guarantees: Readonly<Record<Kind, string>>;
}

/** @throws PostgresUnavailableError when there is no server to measure. */
export function measurePostgres(settings: Settings): Promise<Postgres> {
  const { compileMs, sliceMs } = settings.postgres;
  return withServer((server) =>
    withTemporaryFolder(async (folder) => {
      const databases = await openDatabases(server);
      const system = await server.createDatabase();
      const { rows } = await system.query<{ version: string }>(
        "SELECT current_setting('server_version') AS version",
      );
      const setupOf = (name: Name): PostgresSetup => ({
        ...kindOf(name),
        name,
        urls: databases.map(({ url }) => url),
        systemUrl: system.url,
        folder: join(folder, name),
        seed: settings.seed,
      });
      const flushMs = flushMsIn(folder);
      const module = new URL('./contenders.js', import.meta.url);
      const { transactions, ...levels } = await withRunners(NAMES, module, setupOf, async (runners) => {
        for (const runner of runners) await runner.warmUp(COMPILED_IN_FLIGHT, compileMs, sliceMs);
        const cold = await measureCold(runners, settings.postgres);
        const hot = await measureHot(runners, settings.postgres);
        const grouped = await measureGrouped(runners, cold, hot, settings.postgres);
        return { cold, hot, grouped, transactions: runners.reduce((sum, { ran }) => sum + ran, 0) };
      });
      await checkWhole(databases, transactions);
      return {
        version: rows[0]!.version,
        flushMs,
        coldRows: COLD_ROWS,
        hotRows: HOT_ROWS,
        ...levels,
        guarantees: GUARANTEES,
      };
    }),
  );
}

function kindOf(name: Name): Pick<PostgresSetup, 'kind' | 'hotDatabases' | 'refusedShare'> {
  if (name === REFUSED_NAME)
    return { kind: 'coordinator-grouped', hotDatabases: 0, refusedShare: REFUSED_SHARE };
  const [, kind, hotDatabases] = /^(.*)-hot-([13])$/.exec(name) ?? [name, name, 0];
  return {
    kind: kind as Kind,
    hotDatabases: Number(hotDatabases) as PostgresSetup['hotDatabases'],
    refusedShare: 0,
  };
}
