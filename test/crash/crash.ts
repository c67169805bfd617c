import type { BankUnderFire } from './bank-under-fire.js';
import type { CrashPoint } from './points.js';
import type { End, Run } from './run.js';
import { PATIENCE_MS } from './run.js';

/**
 * Lets the application do what it does, and be killed at a point; then starts it anew until all has come to rest.
 *
 * @param rounds how many times the transfers of the point are asked for at once.
 * @returns what is wrong, the point that was not reached as well.
 */
export async function crashAt(bank: BankUnderFire, point: CrashPoint, rounds = 1): Promise<string[]> {
  const wrong: string[] = [];
  const run = await bank.running();
  run.arm(point.at, point.fault);
  const transfers = Array.from({ length: rounds }, () => point.transfers).flat();
  const answers = transfers.map((manner) => bank.transfer(run, manner));
  if (point.ending) {
    // Those that are not held have been heard of, so that the others are under way.
    await Promise.all(answers.filter((_, index) => transfers[index] !== 'held'));
    run.signal('SIGTERM');
  }
  wrong.push(...missed(point.name, await untilItEnds(run)));
  await Promise.all(answers);
  if (point.then !== undefined) {
    wrong.push(...missed(`${point.name}, the second time`, await untilItEnds(bank.start(point.then))));
  }
  return [...wrong, ...(await bank.reckon())];
}

/** Gives the application every reason to come by its point. */
async function untilItEnds(run: Run): Promise<End | undefined> {
  await run.up().catch(() => {});
  const end = performance.now() + PATIENCE_MS / 4;
  while (!run.isOver && performance.now() < end) {
    const condition = await run.settle();
    if (condition === undefined) break;
  }
  return run.isOver ? run.ended : undefined;
}

function missed(name: string, end: End | undefined): string[] {
  if (end?.signal === 'SIGKILL') return [];
  return [
    end === undefined ? `nothing came by: ${name}` : `it ended before: ${name} (${JSON.stringify(end)})`,
  ];
}
