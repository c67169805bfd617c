import type { AlarmName, OwnedAlarm } from '../api/views.js';
import { formatAge } from './durations.js';
import { formatCount, plural } from './numbers.js';

/** An alarm in words, for an operator who was woken by it. */
export interface AlarmWords {
  readonly what: string;
  /** What happens without an operator. */
  readonly itself: string;
  /** The first step. The paragraph of the runbook has the others. */
  readonly todo: string;
}

type Words = (alarm: OwnedAlarm, subject: string, nowMs: number) => AlarmWords;

const LOG_RETRY =
  'The log is tried again all the time. Until it takes records, no new transaction is admitted.';
const NO_DECISION = 'Nothing more is decided here. Prepared branches keep their locks.';

const STALLED: Words = (alarm, subject, nowMs) => ({
  what: `${counted(alarm)} at ${subject}: decided, not completed`,
  itself: `${nextOf(alarm, nowMs)} It is tried without an end, and the decision does not change.`,
  todo: `Bring ${subject} back. Retry then saves the pause.`,
});

const WORDS: Readonly<Record<AlarmName, Words>> = {
  DtcLogRestartNeeded: () => ({
    what: 'The decision log could not be flushed',
    itself: NO_DECISION,
    todo: 'Check the disk, then restart the process: it reads the log again.',
  }),
  DtcFenced: () => ({
    what: 'Another process has claimed the decision log',
    itself: `${NO_DECISION} A member of a shared log takes a new epoch within seconds.`,
    todo: 'End this process, not the other one, and find out why there are two.',
  }),
  DtcLogBehind: () => ({
    what: 'The decision log has lost what it had acknowledged',
    itself: NO_DECISION,
    todo: 'Restart no member. Find out what is missing, and bring the former server back.',
  }),
  DtcLogMoved: () => ({
    what: 'The decision log is not where it was made',
    itself: NO_DECISION,
    todo: 'Check the address of the log: it may be a copy.',
  }),
  DtcLogProblem: () => ({
    what: 'The decision log takes no records',
    itself: LOG_RETRY,
    todo: 'Bring the log back: its disk, its space, or its database server.',
  }),
  DtcNotAccepting: () => ({
    what: 'No new transaction is admitted',
    itself: 'Running transactions continue. Callers get 503.',
    todo: 'If no one has stopped it, find out why its shutdown does not end.',
  }),
  DtcTargetDown: (_alarm, subject) => ({
    what: `${subject} does not answer`,
    itself:
      'If it is dead, another member takes over when its lease has expired, and completes what it has left.',
    todo: 'Look whether its process runs, and whether it can be reached from here.',
  }),
  DtcRestartLoop: ({ count }) => ({
    what: `Members were lost ${plural(count, 'time')} in fifteen minutes`,
    itself: 'Each time another member takes over, and aborts what was not decided.',
    todo: 'Read the last line of the log of the process that ends: its code says why.',
  }),
  DtcHeuristicReportOpen: (alarm, subject) => ({
    what: `${counted(alarm)} ended otherwise than decided at ${subject}`,
    itself: 'Nothing. The report stays until an operator has dealt with it.',
    todo: 'Repair the data as it was decided, then forget the report.',
  }),
  DtcVotesExpiring: (alarm, subject, nowMs) => ({
    what: `${counted(alarm)} not completed at ${subject}, and the vote ${expiryOf(alarm, nowMs)}`,
    itself: `${nextOf(alarm, nowMs)} A transaction without a decision aborts before that.`,
    todo: `Make ${subject} answer now, and retry: after the expiry it may end otherwise than decided.`,
  }),
  DtcParticipantSilent: (_alarm, subject) => ({
    what: `${subject} does not answer`,
    itself:
      'Most transactions that need it are refused at once. A few are let through, to see whether it answers again.',
    todo: `Look at ${subject} and its database: a hang, a full pool, a lock, the network.`,
  }),
  DtcInDoubtTooLong: (alarm, subject, nowMs) => ({
    what: `${counted(alarm)} in doubt: prepared, decision not known`,
    itself:
      alarm.subject === null
        ? 'The log is asked until it answers. All participants keep their locks until then.'
        : `${subject} decides, and is asked until it answers. ${nextOf(alarm, nowMs)}`,
    todo: alarm.subject === null ? 'Bring the decision log back.' : `Bring ${subject} back.`,
  }),
  DtcAdoptionStuck: ({ cause }, subject) => ({
    what: `What ${subject} has left is not completed (${cause ?? 'not known'})`,
    itself: 'The living members go on to adopt it and to deliver its decisions.',
    todo: 'Look for "An adoption has failed" in the log lines, and for a participant that does not answer.',
  }),
  DtcParticipantMissing: (_alarm, subject) => ({
    what: `${subject} is not registered, and branches wait for it`,
    itself: 'Its branches wait, with their locks, until it is registered again.',
    todo: `Start a process with ${subject}, under the same name.`,
  }),
  DtcUndecidableBranches: ({ count }, subject) => ({
    what: `${plural(count, 'prepared branch', 'prepared branches')} at ${subject}, and the decision is not known`,
    itself: 'Nothing. They keep their locks.',
    todo: 'Find the log that has their decisions, or end each transaction by hand in one way at all databases.',
  }),
  DtcStalledTooLong: STALLED,
  DtcStalled: STALLED,
  DtcMemberLost: (alarm, subject) => ({
    what:
      alarm.subject === null ? `${plural(alarm.count, 'member')} lost and replaced` : `${subject} is gone`,
    itself:
      alarm.subject === null
        ? 'Its decisions are delivered by the member that has taken over. What was not decided was aborted.'
        : 'Another member adopts what it has left, and completes it.',
    todo: 'Find out why it ended, and start it again.',
  }),
  DtcRefusing: ({ count }) => ({
    what: `${count} % of the requests are refused before they start`,
    itself: 'Callers get 503 and try again. Nothing was begun for them.',
    todo: 'Look which code: dtc_refused_total, or the alarms above.',
  }),
  DtcOverload: ({ count }) => ({
    what: `${count} % of the places for transactions are in use`,
    itself: 'When all are, further transactions are refused with 503.',
    todo: 'Find the participant that is slow.',
  }),
  DtcAbortRateHigh: ({ count }) => ({
    what: `${count} % of the transactions are aborted for technical reasons`,
    itself: 'Their callers are told so. Nothing of them is kept.',
    todo: 'Look at the causes under "Last hour", and at the participant that they name.',
  }),
  DtcParticipantPaused: (_alarm, subject) => ({
    what: `${subject} is paused`,
    itself: 'Its prepares are refused, and its completions wait with their locks until it is resumed.',
    todo: `Resume ${subject} when the reason for the pause is over.`,
  }),
  DtcDraining: () => ({
    what: 'The coordinator is drained',
    itself: 'It admits no new transaction until it is undrained. Running transactions continue.',
    todo: 'Let it admit work again if the reason is over.',
  }),
  DtcRetriesHigh: ({ count }, subject) => ({
    what: `${count} % of the attempts to complete a branch at ${subject} fail`,
    itself: 'Each is tried again, with longer pauses.',
    todo: `Look at ${subject}: its last errors are with its transactions.`,
  }),
  DtcMemberFenced: ({ count }) => ({
    what: `A member was fenced while it lived, ${plural(count, 'time')}`,
    itself: 'It went on with a new epoch. What it had not decided was aborted, or is pending.',
    todo: 'If it happens again, look for pauses of the process, and at the log.',
  }),
  DtcLogSlow: () => ({
    what: 'The decision log is slow',
    itself: 'Every commit waits for it, with its locks held.',
    todo: 'Look at the disk or the database server of the log.',
  }),
  DtcRecoveryNotEnding: () => ({
    what: 'The recovery job does not end',
    itself: 'It goes on. Until then what is stalled is not tried again.',
    todo: 'Look for a participant whose calls or lists never end.',
  }),
  DtcOrphanScanFailing: ({ count }, subject) => ({
    what: `The prepared branches of ${subject} could not be listed ${plural(count, 'time')}`,
    itself: 'The list is asked for again. Orphans there are not found until then.',
    todo: `Look at the connection and the rights at ${subject}.`,
  }),
  DtcForeignBranches: ({ count }, subject) => ({
    what: `${plural(count, 'prepared branch', 'prepared branches')} of others at ${subject}`,
    itself: 'Nothing: this coordinator leaves them alone. They keep their locks.',
    todo: 'Find their owner by their ids, or end them by hand.',
  }),
  DtcOrphansFound: ({ count }) => ({
    what: `${plural(count, 'branch', 'branches')} of an earlier run found without a decision`,
    itself: 'They are rolled back, as after every crash.',
    todo: 'If there was no crash, look for a second process with this name.',
  }),
  DtcOutboxDead: ({ count }, subject) => ({
    what: `${plural(count, 'dead message')} in the outbox ${subject}`,
    itself: 'Nothing: they have used up their attempts.',
    todo: 'Fix their receiver, then send them again: the page Messages has them.',
  }),
  DtcOutboxLate: ({ count, cause }, subject) => ({
    what: `${plural(count, 'message')} in the outbox ${subject} not sent for long${cause === null ? '' : ` (${cause})`}`,
    itself: 'Each is tried again until its attempts are used up.',
    todo: 'Look at the receiver, and whether a relay runs.',
  }),
  DtcOutboxDown: (_alarm, subject) => ({
    what: `The database of the outbox ${subject} does not answer`,
    itself: 'It is asked again. No message is lost.',
    todo: 'Bring the database back.',
  }),
  DtcLinesDropped: ({ count }) => ({
    what: `${plural(count, 'log line')} lost`,
    itself: 'Transactions continue.',
    todo: 'Look at the disk for log lines, or their reader.',
  }),
  DtcDefects: ({ count }) => ({
    what: `${plural(count, 'defect')} of the coordinator`,
    itself: 'The transaction that was concerned goes on, or is recovered.',
    todo: 'Report it, with the error and its stack in the log lines.',
  }),
};

/** @param nowMs the coordinator's time. */
export function wordsOf(alarm: OwnedAlarm, nowMs: number): AlarmWords {
  return WORDS[alarm.name](alarm, alarm.subject ?? 'the coordinator', nowMs);
}

/** @returns one sentence for a glance and for those who do not see the page. */
export function headlineOf(alarm: OwnedAlarm, nowMs: number): string {
  const { since } = alarm;
  const age = since === null ? '' : `, for ${formatAge(nowMs - Date.parse(since))}`;
  return `${wordsOf(alarm, nowMs).what}${age}`;
}

function counted({ count }: OwnedAlarm): string {
  return plural(count, 'transaction');
}

function nextOf({ nextAttemptAt }: OwnedAlarm, nowMs: number): string {
  if (nextAttemptAt === null) return 'Tried now, or at the next round of the recovery job.';
  const inMs = Date.parse(nextAttemptAt) - nowMs;
  return `Next attempt ${inMs >= 1_000 ? `in ${formatAge(inMs)}` : 'now'}.`;
}

function expiryOf({ expiresAt }: OwnedAlarm, nowMs: number): string {
  if (expiresAt === null) return 'expires soon';
  const inMs = Date.parse(expiresAt) - nowMs;
  return inMs > 0 ? `expires in ${formatAge(inMs)}` : `has expired ${formatAge(-inMs)} ago`;
}

/** @returns how many of each urgency there are, for a title: `1 critical, 2 warnings`. */
export function tallyOf(alarms: readonly OwnedAlarm[]): string {
  const critical = alarms.filter(({ severity }) => severity === 'critical').length;
  const warnings = alarms.length - critical;
  const parts = [
    ...(critical > 0 ? [`${formatCount(critical)} critical`] : []),
    ...(warnings > 0 ? [plural(warnings, 'warning')] : []),
  ];
  return parts.join(', ');
}
