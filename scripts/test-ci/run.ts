import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { failureIn } from './failures.ts';
import { Outputs } from './outputs.ts';
import { RungProcess } from './rung-process.ts';
import { BUILD, RUNGS, type Rung } from './rungs.ts';
import { toBegin } from './schedule.ts';

/**
 * The longer rungs, which `npm test` goes through only in part: at most half an hour on two cores. Each is run, whatever
 * becomes of those before it. What each took is told at the end, and then what failed, and last the names of that.
 *
 *     npm run test:ci -- [part of a rung's name ...]
 *
 * Two rungs run beside each other, but for those that use every core or judge how long something takes. A rung whose program is not
 * installed is left out, and the end says so. Exit code 1: one of them failed or was interrupted, or none has such a name.
 */
const MOST_AT_A_TIME = Math.min(2, availableParallelism());
/** Far more than the longest takes on a slow machine. */
const LIMIT_MS = 15 * 60_000;

const wanted = process.argv.slice(2);
const chosen = RUNGS.filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
if (chosen.length === 0) {
  console.error(`No rung has such a name. There are: ${RUNGS.map(({ name }) => name).join(', ')}.`);
  process.exit(1);
}

const outputs = new Outputs((text) => process.stdout.write(text));
const waiting = chosen.some(({ isBuilt }) => isBuilt === true) ? [BUILD, ...chosen] : [...chosen];
const running = new Map<Rung, { readonly process: RungProcess; readonly told: Promise<void> }>();
const summary: string[] = [];
const failures: string[] = [];
const failed: string[] = [];
let isBuildBroken = false;
let interruption: NodeJS.Signals | undefined;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);

const startedAt = performance.now();
while (waiting.length > 0 || running.size > 0) {
  for (const rung of waiting.splice(0, toBegin(waiting, [...running.keys()], MOST_AT_A_TIME))) begin(rung);
  if (running.size > 0) await Promise.race(Array.from(running.values(), ({ told }) => told));
}
console.log(`\n${summary.join('\n')}`);
console.log(`test:ci: ${chosen.length} rungs, ${failures.length} failed, ${secondsSince(startedAt)} s`);
for (const failure of failures) console.log(`\n${failure}`);
if (failed.length > 0) console.log(`\n${failed.join('\n')}`);
if (failures.length > 0 || interruption !== undefined) process.exitCode = 1;

function begin(rung: Rung): void {
  const obstacle = obstacleOf(rung);
  if (obstacle !== undefined) {
    tell(rung, obstacle);
    return;
  }
  const since = performance.now();
  const output = outputs.begin();
  output.add(`\n=== ${rung.name}: ${rung.command.join(' ')}\n`);
  const child = new RungProcess(rung, LIMIT_MS, (text) => output.add(text));
  const told = child.ended.then((wrong) => {
    running.delete(rung);
    output.end();
    tell(rung, `${wrong === undefined ? 'passed' : `FAILED (${wrong})`}, ${secondsSince(since)} s`);
    if (wrong === undefined) return;
    isBuildBroken ||= rung === BUILD;
    const { lines, names } = failureIn(output.text);
    failures.push(`=== what failed in ${rung.name} (${wrong}):\n${lines.join('\n')}`);
    failed.push(`FAILED ${rung.name} (${wrong})`, ...names.map((test) => `FAILED ${rung.name}: ${test}`));
  });
  running.set(rung, { process: child, told });
}

/** @returns why a rung is not begun. */
function obstacleOf({ needs, isBuilt }: Rung): string | undefined {
  if (isBuilt === true && isBuildBroken) return 'left out: the build has failed';
  if (needs !== undefined && spawnSync(needs, ['--version']).status !== 0)
    return `left out: ${needs} is not installed`;
  return undefined;
}

function tell({ name }: Rung, what: string): void {
  summary.push(`${name.padEnd(24)} ${what}`);
}

/** No other rung begins, and those that run end: at the second signal by force. */
function interrupt(signal: NodeJS.Signals): void {
  waiting.splice(0);
  for (const { process: child } of running.values())
    child.end(interruption === undefined ? signal : 'SIGKILL', signal);
  interruption = signal;
}

function secondsSince(moment: number): number {
  return Math.round((performance.now() - moment) / 1_000);
}
