import type { BankUnderFire } from './bank-under-fire.js';
import { groupsIn, tearGroupRecord } from './books.js';
import type { CrashPoint, GroupEnd } from './points.js';
import type { End, Run } from './run.js';
import { PATIENCE_MS } from './run.js';

/**
 * Lets the application do what it does, and be killed at a point; then starts it anew until all has come to
 * rest.
 *
 * @param rounds how many times the transfers of the point are asked for at once.
 * @returns what is wrong, the point that was not reached as well.
 */
export async function crashAt(bank: BankUnderFire, point: CrashPoint, rounds = 1): Promise<string[]> {
  if (point.sendsMessages === true) return withMessages(bank, () => killAt(bank, point, rounds));
  return killAt(bank, point, rounds);
}

/** The relay of messages is part of the application only meanwhile. */
async function withMessages(bank: BankUnderFire, work: () => Promise<string[]>): Promise<string[]> {
  const { settings } = bank;
  await bank.end();
  bank.settings = { ...settings, sendsMessages: true };
  try {
    return await work();
  } finally {
    await bank.end();
    bank.settings = settings;
  }
}

async function killAt(bank: BankUnderFire, point: CrashPoint, rounds: number): Promise<string[]> {
  const wrong: string[] = [];
  const run = await bank.running();
  run.arm(point.at, point.fault);
  const transfers = Array.from({ length: rounds }, () => point.transfers).flat();
  const answers = bank.transferAll(run, transfers);
  if (point.ending) {
    // Those that are not held have been heard of, so that the others are under way.
    await Promise.all(answers.filter((_, index) => transfers[index] !== 'held'));
    run.signal('SIGTERM');
  }
  wrong.push(...missed(point.name, await untilItEnds(run)));
  await Promise.all(answers);
  if (point.group !== undefined) return [...wrong, ...(await afterGroup(bank, point.group, rounds))];
  if (point.then !== undefined) {
    wrong.push(...missed(`${point.name}, the second time`, await untilItEnds(bank.start(point.then))));
  }
  return [...wrong, ...(await bank.reckon())];
}

/**
 * Holds a group that was interrupted against its record: all of its members have its outcome, and the run
 * after knows each of them from the first moment on.
 */
async function afterGroup(bank: BankUnderFire, end: GroupEnd, rounds: number): Promise<string[]> {
  if (end === 'torn') tearGroupRecord(bank.logPath);
  const groups = groupsIn(bank.logPath);
  const members = groups.flat();
  // With more rounds there are more members, and other groups that may have ended.
  const expected = end === 'commits' ? 3 : 0;
  const wrong =
    rounds === 1 && members.length !== expected
      ? [`the log names ${members.length} members of groups, and not ${expected}`]
      : [];
  const run = await bank.running();
  const early = await run.outcomesOf(members);
  wrong.push(...(await bank.reckon()));
  const late = await run.outcomesOf(members);
  const committed = await bank.committed(members);
  for (const [index, id] of members.entries()) {
    const known = [early?.[index], late?.[index]];
    if (known.some((status) => status !== 'committed'))
      wrong.push(
        `${id} is a member of a group with a record, and the next run knows it as ${known.join(', ')}`,
      );
    if (committed[index] !== bank.books.databases.length)
      wrong.push(`${id} is a member of a group with a record, and is in ${committed[index]} databases`);
  }
  return wrong;
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
