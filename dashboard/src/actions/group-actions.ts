import type {
  AlarmName,
  BranchView,
  GroupResult,
  GroupTarget,
  OwnedAlarm,
  TransactionSummary,
} from '../api/views.js';
import { formatCount, plural } from '../words/numbers.js';
import type { Action, Decision } from './action.js';
import { actionsOfBranch, mayForget } from './transaction-actions.js';

/** The most targets of one request, as the coordinator takes them. */
export const MAX_TARGETS = 200;

export type GroupKind = 'retry' | 'resolve' | 'forget';

const KINDS: Partial<Record<AlarmName, readonly GroupKind[]>> = {
  DtcStalled: ['retry', 'resolve'],
  DtcStalledTooLong: ['retry', 'resolve'],
  DtcVotesExpiring: ['retry'],
  DtcHeuristicReportOpen: ['forget'],
};

/** @returns the actions that there may be for the transactions of an alarm. */
export function groupKindsOf({ name, unit, subject }: OwnedAlarm): readonly GroupKind[] {
  if (unit !== 'transactions') return [];
  return KINDS[name] ?? (subject === null ? [] : ['retry']);
}

/**
 * @param found the transactions of an alarm.
 * @returns what an operator must know of those that are left out, because a member of an earlier version does not say which of
 * their branches the alarm counts; an empty text when there are none.
 */
export function leftOutOf(found: readonly TransactionSummary[]): string {
  const count = found.filter(({ branches }) => branches.every(({ alarms }) => alarms === undefined)).length;
  if (count === 0) return '';
  const [are, them] = count === 1 ? ['is', 'it'] : ['are', 'them'];
  return (
    `${plural(count, 'transaction', 'transactions')} of members of an earlier version ${are} left out: they do not say which ` +
    `branches this problem counts. Act on ${them} alone, or repeat this when all members have this version.`
  );
}

/**
 * @param found the transactions of the alarm as they are now, the oldest first.
 * @param isCut whether there are more of them.
 * @param missing the members whose transactions may be missing, as people call them.
 * @returns one action for all of them that allow it; undefined when none does.
 */
export function groupActionOf(
  kind: GroupKind,
  alarm: OwnedAlarm,
  found: readonly TransactionSummary[],
  isCut: boolean,
  missing: readonly string[] = [],
): Action | undefined {
  const all = branchesFor(kind, alarm.id, found);
  const targets = all.slice(0, MAX_TARGETS);
  if (targets.length === 0) return undefined;
  const isPart = isCut || targets.length < all.length;
  const subject = alarm.subject ?? 'its participant';
  const counted = plural(targets.length, 'branch', 'branches');
  const which = isPart ? `the oldest ${counted}` : counted;
  const words = WORDS[kind](which, subject, targets.length, decisionsOf(found, targets));
  const leftOut = leftOutOf(found);
  const rest = [
    ...(leftOut === '' ? [] : [leftOut]),
    ...(isPart ? [`These are ${which} of the group. Repeat this for the others.`] : []),
    ...(missing.length > 0
      ? [
          `Transactions of ${missing.join('; ')} may not be among them, because it is not known which there are.`,
        ]
      : []),
  ];
  return {
    ...words,
    kind,
    consequences: [...words.consequences, ...rest],
    target: alarm.cause ?? subject,
    path: 'transactions/actions',
    targets,
    alarm: alarm.id,
  };
}

type GroupWords = Omit<Action, 'kind' | 'path' | 'targets' | 'target'>;

const WORDS: Readonly<
  Record<
    GroupKind,
    (which: string, subject: string, count: number, decisions: readonly Decision[]) => GroupWords
  >
> = {
  retry: (which, subject, count, decisions) => ({
    label: 'Retry all',
    title: `Retry ${which} at ${subject} now?`,
    consequences: [
      `Each is sent to ${subject} again, at once: ${plural(count, 'call')}. ${
        decisions.includes(null)
          ? 'Where no decision is known, it reports its own, or decides now. No other decision changes.'
          : 'No decision changes.'
      }`,
      'What fails is tried again as before. Participants must accept repeats, so nothing is done twice.',
      'Each is recorded in the audit trail.',
    ],
    confirm: `Retry ${formatCount(count)}`,
    done: 'being tried again',
    isFinal: false,
  }),
  resolve: (which, subject, count, decisions) => ({
    label: 'Resolve all by hand',
    title: `Resolve ${which} at ${subject} by hand?`,
    consequences: [
      `You tell the coordinator how ${plural(count, 'branch', 'branches')} have ended at ${subject}: all of them in the same way, because you have ended or checked each of them there. The coordinator cannot verify this, and will not call ${subject} for them again.`,
      `${
        decisions.includes(null)
          ? 'Where no decision is known, the end that you state becomes the decision. No other decision changes.'
          : 'No decision changes.'
      } Each is recorded in the audit trail.`,
    ],
    confirm: `Record this end for ${formatCount(count)}`,
    done: 'resolved',
    isFinal: true,
    asksEndAgainst: decisions,
  }),
  forget: (which, subject, count) => ({
    label: 'Forget all reports',
    title: `Forget the reports of ${which} at ${subject}?`,
    consequences: [
      `${plural(count, 'report')} of ${subject} with this cause: forgotten. Those of other participants and causes stay. No participant is called and no data change.`,
      'Do this after the data of each of them are repaired. Afterwards only the audit trail shows them.',
    ],
    confirm: `Forget ${formatCount(count)}`,
    done: 'forgotten',
    isFinal: true,
  }),
};

/** @returns the decisions of the transactions that are acted on, each once. */
function decisionsOf(
  found: readonly TransactionSummary[],
  targets: readonly GroupTarget[],
): readonly Decision[] {
  const ids = new Set(targets.map(({ transactionId }) => transactionId));
  const concerned = found.filter(({ transactionId }) => ids.has(transactionId));
  return [...new Set(concerned.map(({ decision }) => decision))];
}

/** @returns the branches that the alarm counts: of its participant, with its cause. */
function branchesFor(kind: GroupKind, alarm: string, found: readonly TransactionSummary[]): GroupTarget[] {
  const allows = (transaction: TransactionSummary, branch: BranchView): boolean =>
    branch.alarms?.includes(alarm) === true &&
    (kind === 'forget'
      ? mayForget(transaction, branch)
      : actionsOfBranch(transaction, branch).some((one) => one.kind === kind));
  return found.flatMap((transaction) =>
    transaction.branches
      .filter((branch) => allows(transaction, branch))
      .map(({ branchId }) => ({ transactionId: transaction.transactionId, branchId })),
  );
}

/** @param done what has become of them: `being tried again`. @returns how many are done, of how many. */
export function messageOf({ done, refused, notTried }: GroupResult, what: string): string {
  const all = done + refused.reduce((sum, { count }) => sum + count, 0) + notTried.length;
  return done === all
    ? `${formatCount(done)} ${what}.`
    : `${formatCount(done)} of ${formatCount(all)} ${what}.`;
}

/** @returns why the others are not done, a sentence each. */
export function shortfallOf({ refused, notTried }: GroupResult): string[] {
  const sentences = refused.map(
    ({ count, code, detail }) => `${formatCount(count)} refused (${code}): ${detail}`,
  );
  if (notTried.length > 0)
    sentences.push(
      `${formatCount(notTried.length)} not tried: the time was over, or nothing could be recorded.`,
    );
  return sentences;
}
