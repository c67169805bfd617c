import { measureCluster } from './cluster/cluster.js';
import { measureDurable } from './durable/durable.js';
import { currentCommit, describeMachine } from './machine.js';
import { measureInMemory } from './memory/in-memory.js';
import { profileMemory } from './memory/profile.js';
import { measureOverload } from './overload/overload.js';
import { measurePostgres } from './postgres/postgres.js';
import { PostgresUnavailableError } from './postgres/server.js';
import { measureRemote } from './remote/remote.js';
import { type Report, tableOf } from './report.js';
import { BaselineError, NOT_ASKED } from './results/baseline.js';
import { publish, readReport } from './results/publish.js';
import { PARTS, type Part, type Settings, USAGE, UsageError, settingsFrom } from './settings.js';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const NOTHING_IN_MEMORY = { inMemory: null, retained: null, latency: null };

async function measure(settings: Settings): Promise<Report> {
  const { parts, quick } = settings;
  const machine = describeMachine();
  const measuredAt = new Date().toISOString();
  const progress = (what: string): void => {
    if (process.stderr.isTTY) process.stderr.write(`measuring ${what} ...\n`);
  };
  const notMeasured: Partial<Record<Part, string>> = {};
  for (const part of PARTS) if (!parts.has(part)) notMeasured[part] = NOT_ASKED;

  const memory = parts.has('memory') ? await measureInMemory(settings, progress) : NOTHING_IN_MEMORY;
  if (parts.has('durable')) progress('decisions on disk');
  const durable = parts.has('durable') ? await measureDurable(settings) : null;
  const remote = parts.has('remote') ? await measureRemote(settings, progress) : null;
  const withServer = async <T>(part: Part, what: string, measured: () => Promise<T>): Promise<T | null> => {
    if (!parts.has(part)) return null;
    progress(what);
    try {
      return await measured();
    } catch (error) {
      if (!(error instanceof PostgresUnavailableError)) throw error;
      notMeasured[part] = error.message;
      return null;
    }
  };
  const postgres = await withServer('postgres', 'PostgreSQL', () => measurePostgres(settings));
  const cluster = await withServer('cluster', 'several members', () => measureCluster(settings));
  const overload = await withServer('overload', 'overload', () => measureOverload(settings));
  return {
    ...memory,
    durable,
    remote,
    postgres,
    cluster,
    overload,
    notMeasured,
    machine,
    commit: currentCommit(),
    measuredAt,
    quick,
  };
}

async function main(args: readonly string[]): Promise<number> {
  const settings = settingsFrom(args);
  if (settings === 'help') {
    process.stdout.write(USAGE);
    return 0;
  }
  if (settings.profile) {
    process.stdout.write(await profileMemory(settings.memory.profileMs));
    return 0;
  }
  const report = settings.from === undefined ? await measure(settings) : await readReport(settings.from);
  process.stdout.write(settings.json ? `${JSON.stringify(report)}\n` : tableOf(report));
  return (await publish(report, settings)) ? 0 : EXIT_FAILED;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const usage = error instanceof UsageError;
  const text = error instanceof BaselineError ? error.message : (error as Error).stack;
  process.stderr.write(usage ? `${error.message}\n\n${USAGE}` : `${text}\n`);
  process.exitCode = usage ? EXIT_USAGE : EXIT_FAILED;
}
