import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { Random } from '../simulation/random.js';
import { BankUnderFire } from './bank-under-fire.js';
import { DISASTERS } from './catalogue.js';
import { crashAt } from './crash.js';
import { CRASH_POINTS } from './points.js';
import { killAtRandom } from './random-kills.js';

/**
 * Kills the application at every point, and at random moments, and lets every disaster strike it, as often as requested.
 *
 *     npm run test:crash -- [--repeat 1] [--kills 100] [--only text] [--seed 1] [--banks 2]
 *
 * `--only` leaves out whatever has not this in its name. Each bank has servers and an application of its own, and takes the next
 * kill when it is free: most of the time an application starts, on one core. Exit code 1: something went wrong.
 */
const MOST_ROUNDS = 4;

const { values } = parseArgs({
  options: {
    repeat: { type: 'string', default: '1' },
    kills: { type: 'string', default: '100' },
    only: { type: 'string', default: '' },
    seed: { type: 'string', default: '1' },
    banks: { type: 'string', default: String(Math.min(2, availableParallelism())) },
  },
});
const [repeat, kills, seed] = [wholeNumber('repeat'), wholeNumber('kills'), wholeNumber('seed')];
const bankCount = wholeNumber('banks');
if (bankCount === 0) throw new Error('--banks must be at least 1');

/** One kill, or one disaster, with random numbers of its own, so that the others do not change it. */
interface Attempt {
  readonly name: string;
  readonly at: (bank: BankUnderFire, random: Random) => Promise<string[]>;
}

const startedAt = performance.now();
const attempts: Attempt[] = [];
let [crashes, disasters, violations] = [0, 0, 0];
for (let round = 1; round <= repeat; round++) {
  for (const point of CRASH_POINTS.filter(({ name }) => name.includes(values.only))) {
    crashes++;
    attempts.push({
      name: `round ${round}, killed ${point.name}`,
      at: (bank, random) => crashAt(bank, point, round === 1 ? 1 : random.whole(1, MOST_ROUNDS)),
    });
  }
  for (const { name, strike, impossible } of DISASTERS.filter((each) => each.name.includes(values.only))) {
    const obstacle = impossible?.();
    if (obstacle !== undefined) {
      console.log(`left out: ${name}, as ${obstacle}`);
      continue;
    }
    disasters++;
    attempts.push({ name: `round ${round}, ${name}`, at: strike });
  }
}
for (let kill = 1; kill <= kills; kill++) attempts.push({ name: `random kill ${kill}`, at: killAtRandom });

const waiting = attempts.entries();
const banks: BankUnderFire[] = [];
try {
  for (let number = 0; number < bankCount; number++)
    banks.push(await BankUnderFire.open(new Random(seed, number)));
  await Promise.all(banks.map(work));
} finally {
  await Promise.all(banks.map((bank) => bank.close()));
}

const told = Object.keys(banks[0]!.counts).map(
  (what) => `${banks.reduce((sum, { counts }) => sum + counts[what as keyof typeof counts], 0)} ${what}`,
);
const seconds = Math.round((performance.now() - startedAt) / 1000);
console.log(
  `crash: ${crashes} kills at ${CRASH_POINTS.length} points, ${kills} random kills, ${disasters} disasters, ` +
    `transfers ${told.join(', ')}, ${violations} violations, seed ${seed}, ${seconds} s`,
);
if (violations > 0) process.exitCode = 1;

/** Takes attempts for one bank until none is left. */
async function work(bank: BankUnderFire): Promise<void> {
  for (const [index, { name, at }] of waiting) {
    const wrong = await at(bank, new Random(seed, bankCount + index)).catch((error: unknown) => [
      String(error),
    ]);
    violations += wrong.length;
    for (const line of wrong) console.log(`${name}: ${line}`);
  }
}

function wholeNumber(name: 'repeat' | 'kills' | 'seed' | 'banks'): number {
  const number = Number(values[name]);
  if (!Number.isSafeInteger(number) || number < 0)
    throw new Error(`--${name} must be a whole number from 0 on`);
  return number;
}
