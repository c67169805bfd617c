import { measureIsolation } from './isolation.js';
import { measureLatency } from './latency.js';
import { currentCommit, describeMachine } from './machine.js';
import { measureMemory } from './memory.js';
import { type Report, tableOf } from './report.js';
import { type Settings, USAGE, UsageError, settingsFrom } from './settings.js';
import { measureThroughput } from './throughput.js';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

async function measure(settings: Settings): Promise<Report> {
  const machine = describeMachine();
  const progress = (what: string): void => {
    if (process.stderr.isTTY) process.stderr.write(`measuring ${what} ...\n`);
  };
  progress('throughput');
  const throughput = await measureThroughput(settings);
  progress('memory');
  const { allocated, retained } = await measureMemory(settings);
  progress('latency');
  const added = await measureLatency(settings);
  progress('participants in trouble');
  const isolation = await measureIsolation(settings);
  return {
    inMemory: throughput.map((level, index) => Object.assign(level, allocated[index]!)),
    retained,
    latency: { ...added, ...isolation },
    machine,
    commit: currentCommit(),
    quick: settings.quick,
  };
}

async function main(args: readonly string[]): Promise<number> {
  const settings = settingsFrom(args);
  if (settings === 'help') {
    process.stdout.write(USAGE);
    return 0;
  }
  const report = await measure(settings);
  process.stdout.write(settings.json ? `${JSON.stringify(report)}\n` : tableOf(report));
  return 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const usage = error instanceof UsageError;
  process.stderr.write(usage ? `${error.message}\n\n${USAGE}` : `${(error as Error).stack}\n`);
  process.exitCode = usage ? EXIT_USAGE : EXIT_FAILED;
}
