/**
 * How urgent it is: `critical`: data may be wrong or work has stopped, act now. `warning`: look today.
 *
 * @publicApi
 */
export type AlarmSeverity = 'critical' | 'warning';

/**
 * Every condition that an operator has to know, by the name of the alert rule for it, which is also the
 * heading of its paragraph in the runbook. The most urgent come first.
 *
 * @publicApi
 */
export const ALARM_SEVERITIES = {
  DtcLogRestartNeeded: 'critical',
  DtcFenced: 'critical',
  DtcLogBehind: 'critical',
  DtcLogMoved: 'critical',
  DtcLogProblem: 'critical',
  DtcNotAccepting: 'critical',
  DtcTargetDown: 'critical',
  DtcRestartLoop: 'critical',
  DtcHeuristicReportOpen: 'critical',
  DtcVotesExpiring: 'critical',
  DtcParticipantSilent: 'critical',
  DtcInDoubtTooLong: 'critical',
  DtcAdoptionStuck: 'critical',
  DtcParticipantMissing: 'critical',
  DtcUndecidableBranches: 'critical',
  DtcStalledTooLong: 'critical',
  DtcStalled: 'warning',
  DtcMemberLost: 'warning',
  DtcRefusing: 'warning',
  DtcOverload: 'warning',
  DtcAbortRateHigh: 'warning',
  DtcParticipantPaused: 'warning',
  DtcDraining: 'warning',
  DtcRetriesHigh: 'warning',
  DtcMemberFenced: 'warning',
  DtcLogSlow: 'warning',
  DtcRecoveryNotEnding: 'warning',
  DtcOrphanScanFailing: 'warning',
  DtcForeignBranches: 'warning',
  DtcOrphansFound: 'warning',
  DtcOutboxDead: 'warning',
  DtcOutboxLate: 'warning',
  DtcOutboxDown: 'warning',
  DtcLinesDropped: 'warning',
  DtcDefects: 'warning',
} as const satisfies Record<string, AlarmSeverity>;

/** The name of a condition. @publicApi */
export type AlarmName = keyof typeof ALARM_SEVERITIES;

export const ALARM_NAMES = Object.keys(ALARM_SEVERITIES) as AlarmName[];

/** The things that an alarm counts. @publicApi */
export type AlarmUnit = 'transactions' | 'branches' | 'messages' | 'events' | 'percent' | 'conditions';

/**
 * One thing that is wrong: transactions with the same problem at the same participant, or a condition of the
 * coordinator, a participant, a member or an outbox.
 *
 * @publicApi
 */
export interface Alarm {
  /**
   * It stays as long as the problem does. `GET /transactions?alarm=` takes it when the unit is
   * `transactions`.
   */
  readonly id: string;
  readonly name: AlarmName;
  readonly severity: AlarmSeverity;
  /** The participant, the member or the outbox; null for the coordinator itself. */
  readonly subject: string | null;
  /** The cause of the oldest of them: an error, for instance. */
  readonly cause: string | null;
  readonly count: number;
  readonly unit: AlarmUnit;
  /** Since when, for the oldest: ISO 8601. Null when that is not known. */
  readonly since: string | null;
  /** The id of the oldest transaction. */
  readonly oldest: string | null;
  /**
   * When the coordinator tries again by itself: the earliest. Null when an attempt runs, or when the recovery
   * job decides.
   */
  readonly nextAttemptAt: string | null;
  /** When the first of the votes expires, for votes that are about to. */
  readonly expiresAt: string | null;
}

/** Where alarms of other parts of an application are added, such as those of an outbox. @publicApi */
export interface AlarmRegistry {
  /** @param source is asked each time when alarms are listed. It must be quick, and must not throw. */
  add(source: () => readonly Alarm[]): void;
}

/** An alarm with its known fields. Other fields are null. */
export function alarmOf(
  name: AlarmName,
  subject: string | null,
  fields: Partial<Omit<Alarm, 'name' | 'subject'>> = {},
): Alarm {
  return {
    id: alarmId(name, subject),
    name,
    severity: ALARM_SEVERITIES[name],
    subject,
    cause: null,
    count: 1,
    unit: 'conditions',
    since: null,
    oldest: null,
    nextAttemptAt: null,
    expiresAt: null,
    ...fields,
  };
}

const MAX_SUBJECT = 40;

/**
 * @param kind the kind of problem.
 * @param cause two causes that differ only in numbers are one.
 * @returns a short name for one problem: letters, digits, "-", "_" and "." only.
 */
export function alarmId(kind: string, subject: string | null, cause: string | null = null): string {
  const named = (subject ?? '').replaceAll(/[^\w-]/g, '_').slice(0, MAX_SUBJECT);
  return `${kind}.${named}.${hashOf(`${subject ?? ''}\n${cause === null ? '' : withoutNumbers(cause)}`)}`;
}

/** Ids, addresses and durations in an error differ from one transaction to the next. */
function withoutNumbers(text: string): string {
  return text.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/gi, '#').replaceAll(/\w*\d\w*/g, '#');
}

/** FNV-1a, 32 bits: it need not withstand an attack, only tell causes apart. */
function hashOf(text: string): string {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++)
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return (hash >>> 0).toString(36);
}

/** The most urgent first; of two that are as urgent, the older one. */
export function byUrgency(one: Alarm, other: Alarm): number {
  if (one.severity !== other.severity) return one.severity === 'critical' ? -1 : 1;
  const rank = ALARM_NAMES.indexOf(one.name) - ALARM_NAMES.indexOf(other.name);
  if (rank !== 0) return rank;
  return timeOf(one) - timeOf(other) || (one.id < other.id ? -1 : 1);
}

function timeOf({ since }: Alarm): number {
  return since === null ? Number.MAX_SAFE_INTEGER : Date.parse(since);
}
