import { FAILOVERS, FAULTS, type Fault, MEMBER_FAULTS } from './faults.js';
import type { Results } from './runner.js';
import type { Witnesses } from './witnesses.js';

/** From so many schedules on, a run has to have tried enough to count as evidence. */
const COUNTS_FROM = 20_000;
const INJECTIONS_OF_EACH_CLASS = 1_000;
const TIMES_SEEN = 100;
const SHARE_OF_COMMITS = 0.1;

/** The worlds of a run: their name, the option of the script, and their faults. */
export interface Kind {
  readonly name: string;
  readonly flag: string;
  readonly faults: readonly Fault[];
  /** Further things that must have been seen. */
  readonly seen?: readonly string[];
}

export const LONE: Kind = { name: 'simulation', flag: '', faults: FAULTS };
export const MEMBERS: Kind = {
  name: 'simulation of members',
  flag: '--members ',
  faults: [...MEMBER_FAULTS, ...FAILOVERS],
};

const OF_GROUPS: Pick<Kind, 'seen'> = {
  seen: [
    'work of a group',
    'work of a group run again',
    'work of a group changed',
    'member refused when it was tried',
    'member tried in vain',
    'member refused first',
    'member refused behind another',
    'member refused for good behind others',
    'member cancelled',
    'member timed out',
    'member runs again on its own',
    'group committed',
    'group aborted',
    'group restored',
  ],
};

const OF_LAST_RESOURCES: Pick<Kind, 'seen'> = {
  seen: [
    'last resource is to decide',
    'last resource asked: committed',
    'last resource asked: never',
    'last resource does not know',
    'late commit of a last resource refused',
  ],
};

/** @returns the kind of the worlds of a run. */
export function kindOf({
  members,
  groups,
  lastResources = false,
}: {
  readonly members: boolean;
  readonly groups: boolean;
  readonly lastResources?: boolean;
}): Kind {
  const kind = members ? MEMBERS : LONE;
  if (groups)
    return { ...kind, ...OF_GROUPS, name: `${kind.name} with groups`, flag: `${kind.flag}--groups ` };
  if (!lastResources) return kind;
  const name = `${kind.name} with last resources`;
  return { ...kind, ...OF_LAST_RESOURCES, name, flag: `${kind.flag}--last-resources ` };
}

/** @returns why a run without violations proves less than it should, line by line. */
export function shortcomings({ schedules, witnesses }: Results, { faults, seen = [] }: Kind): string[] {
  if (schedules < COUNTS_FROM) return [];
  const lines = faults
    .filter((fault) => witnesses.of(fault) < INJECTIONS_OF_EACH_CLASS)
    .map((fault) => `"${fault}" was injected ${witnesses.of(fault)} times, which is too seldom`);
  for (const what of seen) {
    if (witnesses.of(what) < TIMES_SEEN)
      lines.push(`"${what}" was seen ${witnesses.of(what)} times, which is too seldom`);
  }
  const commits = witnesses.of('transaction committed');
  const transactions = witnesses.of('transaction');
  if (commits < SHARE_OF_COMMITS * transactions)
    lines.push(`of ${transactions} transactions only ${commits} have committed`);
  return lines;
}

/** @returns everything that was seen, line by line: the faults first. */
export function witnessesInWords(witnesses: Witnesses, kind: Kind): string[] {
  const faults = kind.faults.map((fault): [string, number] => [fault, witnesses.of(fault)]);
  const others = witnesses.entries().filter(([what]) => !(kind.faults as readonly string[]).includes(what));
  const lines = (title: string, entries: [string, number][]): string[] => [
    title,
    ...entries.map(([what, times]) => `${String(times).padStart(12)}  ${what}`),
  ];
  const sorted = others.toSorted(([a], [b]) => a.localeCompare(b));
  return [...lines('Faults:', faults), ...lines('Seen:', sorted)];
}

/** @returns the run in one line. */
export function summary(
  { schedules, violations, witnesses }: Results,
  { name }: Kind,
  firstSeed: number,
  seconds: number,
): string {
  return (
    `${name}: ${schedules} schedules (seeds ${firstSeed} to ${firstSeed + schedules - 1}), ` +
    `${witnesses.of('transaction')} transactions, ` +
    `${witnesses.of('transaction committed')} committed, ${witnesses.of('transaction aborted')} aborted, ` +
    `${witnesses.of('told pending')} told pending, ${witnesses.of('orphan rolled back')} orphans rolled back, ` +
    `${violations.length} violations, ${Math.round(schedules / seconds)} schedules/s`
  );
}
