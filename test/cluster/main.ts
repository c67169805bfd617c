import { parseArgs } from 'node:util';
import { Random } from '../simulation/random.js';
import { Callers } from './callers.js';
import { Cluster } from './cluster.js';
import { Evidence } from './evidence.js';
import { FAULTS, Schedule } from './faults.js';
import { settle, settleLimitMs } from './settling.js';

/**
 * Runs three members over one log under load, and lets a fault strike every few seconds: members are killed, stopped for longer
 * than their lease and cut off, and the server of the log is restarted and fails over to its standby. After some faults it waits
 * until everything has ended, and holds what callers were told against the databases.
 *
 *     npm run test:cluster -- [--minutes 1 | --rounds n] [--seed n] [--faults 8] [--only kind ...]
 *
 * Exit code 1: something was wrong. Then the evidence is kept, and its folder is told.
 */
const MEMBERS = 3;
const LEASE_MS = 5_000;
const [LEAST_GAP_MS, LONGEST_GAP_MS] = [600, 2_600];
/** Nothing takes this long but a defect, however busy the machine is. */
const ROUND_LIMIT_MS = 240_000;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    rounds: { type: 'string' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    faults: { type: 'string', default: '8' },
    only: { type: 'string', multiple: true, default: [] },
  },
});
const minutes = Number(values.minutes);
const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
const [seed, faults] = [Number(values.seed), Number(values.faults)];
if (!(minutes > 0) || !Number.isSafeInteger(seed) || !Number.isSafeInteger(faults) || (rounds ?? 1) < 1)
  throw new Error('--minutes is a number above 0; --rounds, --seed and --faults are whole numbers');
for (const kind of values.only)
  if (!FAULTS.some((fault) => fault.kind === kind))
    throw new Error(`"${kind}" is no kind of fault: ${FAULTS.map(({ kind }) => kind).join(', ')}`);

console.log(`cluster: seed ${seed}`);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
const startedAt = performance.now();
const evidence = new Evidence();
const told: Record<string, number> = {};
const wrong: string[] = [];
let [round, slowestMs, openFiles] = [0, 0, 0];
const callers = new Callers(() => cluster, new Random(seed, 1));
const cluster = await Cluster.open({
  members: MEMBERS,
  leaseMs: LEASE_MS,
  hasStandby: true,
  begun: (key, id) => callers.begun(key, id),
  over: ({ name, end, output }) => {
    evidence.note(`${name} has ended (${end})`);
    evidence.keep(`${name}.txt`, output);
  },
});
const schedule = new Schedule(cluster, new Random(seed, 2), (what) => evidence.note(what), values.only);

try {
  while (wrong.length === 0 && !isOver()) {
    round++;
    await limited(playRound());
  }
} catch (error) {
  wrong.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
}
if (wrong.length > 0) await keepEvidence();
await cluster.close();
tell();
process.exit(wrong.length > 0 ? 1 : 0);

function isOver(): boolean {
  return rounds === undefined ? performance.now() - startedAt > minutes * 60_000 : round >= rounds;
}

async function playRound(): Promise<void> {
  evidence.note(`round ${round}`);
  callers.start();
  await schedule.run(faults, LEAST_GAP_MS, LONGEST_GAP_MS);
  await cluster.allUp();
  await callers.stop();
  evidence.note('quiet');
  const settled = await settle(cluster, callers);
  evidence.note(`settled after ${Math.round(settled.settledMs)} ms`);
  slowestMs = Math.max(slowestMs, settled.settledMs);
  openFiles = Math.max(openFiles, settled.openFiles);
  for (const [kind, count] of Object.entries(settled.counts)) told[kind] = (told[kind] ?? 0) + count;
  wrong.push(...settled.wrong, ...cluster.places.flatMap((place) => place.wrong));
}

async function limited(playing: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`the round has not ended within ${ROUND_LIMIT_MS} ms`)),
      ROUND_LIMIT_MS,
    );
  });
  await Promise.race([playing, late]).finally(() => clearTimeout(timer));
}

async function keepEvidence(): Promise<void> {
  evidence.keep('wrong.txt', wrong.join('\n'));
  for (const { process } of cluster.places)
    if (process !== undefined) evidence.keep(`${process.name}.txt`, process.output);
  evidence.keep('log-server.txt', cluster.log.lines);
  try {
    evidence.keep('log.json', await cluster.rowsOfLog());
    evidence.keep('prepared.json', await cluster.books.prepared());
  } catch (error) {
    evidence.note(`the databases could not be read: ${String(error)}`);
  }
}

function tell(): void {
  for (const line of wrong.slice(0, 20)) console.log(line);
  if (wrong.length > 0) console.log(`The evidence is kept in ${evidence.folder}`);
  else evidence.remove();
  const kinds = [...schedule.counts].map(([kind, count]) => `${count} ${kind}`);
  const orders = Object.entries(told).map(([kind, count]) => `${count} ${kind}`);
  const struck = [...schedule.counts.values()].reduce((sum, count) => sum + count, 0);
  console.log(
    `cluster: ${round} rounds, ${struck} faults (${kinds.join(', ')}), orders ${orders.join(', ')}, ` +
      `${callers.askedAgain} asked for again, ${callers.repeats} repeated with their key, settled at most ${Math.round(slowestMs)} ms after the last fault ` +
      `(limit ${settleLimitMs(LEASE_MS)}), at most ${openFiles} open files, ${wrong.length} violations, seed ${seed}, ` +
      `${Math.round((performance.now() - startedAt) / 1_000)} s`,
  );
}
