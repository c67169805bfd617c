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
 *     npm run test:crash -- [--repeat 1] [--kills 100] [--only text] [--seed 1]
 *
 * `--only` leaves out whatever has not this in its name. Exit code 1: something went wrong.
 */
const MOST_ROUNDS = 4;

const { values } = parseArgs({
  options: {
    repeat: { type: 'string', default: '1' },
    kills: { type: 'string', default: '100' },
    only: { type: 'string', default: '' },
    seed: { type: 'string', default: '1' },
  },
});
const [repeat, kills, seed] = [wholeNumber('repeat'), wholeNumber('kills'), wholeNumber('seed')];
const random = new Random(seed, 0);
const startedAt = performance.now();
const bank = await BankUnderFire.open(random);
let [crashes, disasters, violations] = [0, 0, 0];

try {
  for (let round = 1; round <= repeat; round++) {
    for (const point of CRASH_POINTS.filter(({ name }) => name.includes(values.only))) {
      crashes++;
      await attempt(`round ${round}, killed ${point.name}`, () =>
        crashAt(bank, point, round === 1 ? 1 : random.whole(1, MOST_ROUNDS)),
      );
    }
    for (const { name, strike, impossible } of DISASTERS.filter(({ name }) => name.includes(values.only))) {
      const obstacle = impossible?.();
      if (obstacle !== undefined) console.log(`left out: ${name}, as ${obstacle}`);
      else {
        disasters++;
        await attempt(`round ${round}, ${name}`, () => strike(bank, random));
      }
    }
  }
  for (let kill = 1; kill <= kills; kill++)
    await attempt(`random kill ${kill}`, () => killAtRandom(bank, random));
} finally {
  await bank.close();
}

const told = Object.entries(bank.counts).map(([what, count]) => `${count} ${what}`);
const seconds = Math.round((performance.now() - startedAt) / 1000);
console.log(
  `crash: ${crashes} kills at ${CRASH_POINTS.length} points, ${kills} random kills, ${disasters} disasters, ` +
    `transfers ${told.join(', ')}, ${violations} violations, seed ${seed}, ${seconds} s`,
);
if (violations > 0) process.exitCode = 1;

async function attempt(name: string, what: () => Promise<string[]>): Promise<void> {
  const wrong = await what().catch((error: unknown) => [String(error)]);
  violations += wrong.length;
  for (const line of wrong) console.log(`${name}: ${line}`);
}

function wholeNumber(name: 'repeat' | 'kills' | 'seed'): number {
  const number = Number(values[name]);
  if (!Number.isSafeInteger(number) || number < 0)
    throw new Error(`--${name} must be a whole number from 0 on`);
  return number;
}
