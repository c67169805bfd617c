import type { Random } from '../simulation/random.js';
import type { BankUnderFire } from './bank-under-fire.js';
import type { Manner } from './messages.js';
import type { Run } from './run.js';

const AT_ONCE = 8;
const MANNERS: readonly Manner[] = ['plain', 'plain', 'plain', 'refused', 'refused-last', 'reported'];
/** How long a run may get on with its recovery, at the most, when it is killed in it. */
const RECOVERY_MS = 1_500;

/**
 * Kills the application at a random moment: under load, and sometimes the next run as well, while it starts
 * and recovers.
 *
 * @returns the contradictions.
 */
export async function killAtRandom(bank: BankUnderFire, random: Random): Promise<string[]> {
  const run = await bank.running();
  const load = keepBusy(bank, run, random, random.whole(1, 40));
  await load.enough;
  await pause(random.between(0, 10));
  await run.kill();
  await load.over;
  while (random.chance(0.2)) {
    const next = bank.start();
    await pause(random.between(0, RECOVERY_MS));
    await next.kill();
  }
  return bank.reckon();
}

/**
 * Asks for one transfer after the other, several at once, until the application is gone or no more are
 * wanted.
 */
export function keepBusy(
  bank: BankUnderFire,
  run: Run,
  random: Random,
  answers: number,
): { readonly enough: Promise<void>; readonly over: Promise<void>; readonly stop: () => void } {
  const enough = Promise.withResolvers<void>();
  let answered = 0;
  const stopping = new AbortController();
  const one = async (): Promise<void> => {
    while (!stopping.signal.aborted && !run.isOver) {
      await bank.transfer(run, random.pick(MANNERS));
      if (++answered >= answers) enough.resolve();
    }
    enough.resolve();
  };
  const over = Promise.all(Array.from({ length: AT_ONCE }, one)).then(() => {});
  return { enough: enough.promise, over, stop: () => stopping.abort() };
}

/** The moment of a random kill is a time, as no event is to decide it. */
function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
