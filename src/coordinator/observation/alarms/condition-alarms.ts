import { epochMsOf } from '../../execution/clock.js';
import type { CoordinatorRuntime } from '../../execution/coordinator-runtime.js';
import type { RegisteredParticipant } from '../../participant/registered-participant.js';
import { memberState } from '../member-state.js';
import { measurementsOf } from '../metrics/participant-measurements.js';
import { type Alarm, type AlarmName, alarmOf } from './alarm.js';
import type { Growth, RecentCounts } from './recent-counts.js';

const MINUTE_MS = 60_000;
/** For events that are over, the time of the alert rules. */
const EVENTS_MS = 15 * MINUTE_MS;
/** If this number of members is lost within {@link EVENTS_MS}, they restart again and again. */
const RESTART_LOOP = 3;
/** As the rule DtcAdoptionStuck. */
const ADOPTION_STUCK_MS = 5 * MINUTE_MS;
/** Branches of other coordinators are prepared all the time, for a moment. */
const FOREIGN_MS = MINUTE_MS;
/** Fewer cases than these are no rate. */
const FEWEST = 20;
/** As the rules on rates: the portion above which it is too much. */
const PORTIONS = { DtcRefusing: 0.05, DtcAbortRateHigh: 0.05, DtcRetriesHigh: 0.1, DtcOverload: 0.8 };
const SLOW_FLUSH_MS = 200;
const RECOVERY_PAUSE_MS = 15 * MINUTE_MS;
const RECOVERING_MS = 5 * MINUTE_MS;

/** The alarms about the coordinator, its log, its members and its participants, at one moment. */
export function conditionAlarms(
  runtime: CoordinatorRuntime,
  recent: RecentCounts,
  startedAt: number,
): Alarm[] {
  const now = runtime.parts.clock.now();
  const owing = runtime.registry.unresolved();
  return [
    ...logAlarms(runtime),
    ...admissionAlarms(runtime),
    ...memberAlarms(runtime, now),
    ...rateAlarms(runtime, recent),
    ...eventAlarms(runtime, recent),
    ...recoveryAlarms(runtime, recent, now - startedAt),
    ...runtime.parts.participants
      .registered()
      .flatMap((participant) => participantAlarms(participant, runtime, recent, now)),
    ...missingAlarms(runtime, owing.keys()),
  ];
}

/** The most specific one alone: the others follow from it. */
function logAlarms({ log }: CoordinatorRuntime): Alarm[] {
  const cause = log.problem ?? null;
  if (log.isBroken) return [alarmOf('DtcLogRestartNeeded', null, { cause })];
  if (log.problemCode === 'DTC_LOG_BEHIND') return [alarmOf('DtcLogBehind', null, { cause })];
  if (log.problemCode === 'DTC_LOG_MOVED') return [alarmOf('DtcLogMoved', null, { cause })];
  if (log.isLost) return [alarmOf('DtcFenced', null, { cause })];
  return cause === null ? [] : [alarmOf('DtcLogProblem', null, { cause })];
}

function admissionAlarms({ admission, log, registry, parts }: CoordinatorRuntime): Alarm[] {
  const alarms: Alarm[] = [];
  if (admission.isDraining) alarms.push(alarmOf('DtcDraining', null));
  else if (!admission.isAccepting && log.problem === undefined && !log.isLost)
    alarms.push(alarmOf('DtcNotAccepting', null, { cause: 'it is shutting down' }));
  const portion = registry.inFlight / parts.options.maxInFlight;
  if (portion > PORTIONS.DtcOverload) alarms.push(percent('DtcOverload', null, portion));
  return alarms;
}

function memberAlarms(runtime: CoordinatorRuntime, now: number): Alarm[] {
  const { members, parts } = runtime;
  const sinceListed = members.seenForMs(now) ?? 0;
  return members.list.flatMap((member) => {
    const state = memberState(member, runtime);
    if (state === 'alive') return [];
    const deadMs = member.ageMs + sinceListed;
    const name = member.member === '' ? `epoch ${member.epoch}` : `${member.member}, epoch ${member.epoch}`;
    const since = momentOf(runtime, now - deadMs);
    const isStuck = deadMs > Math.max(ADOPTION_STUCK_MS, parts.options.leaseMs);
    return [alarmOf(isStuck ? 'DtcAdoptionStuck' : 'DtcMemberLost', name, { cause: state, since })];
  });
}

function rateAlarms({ parts }: CoordinatorRuntime, recent: RecentCounts): Alarm[] {
  const { refusals, failures, slowFlushMs } = recent;
  return [
    ...rateAlarm('DtcRefusing', null, refusals),
    ...rateAlarm('DtcAbortRateHigh', null, failures),
    ...parts.participants
      .registered()
      .flatMap(({ name }) => rateAlarm('DtcRetriesHigh', name, recent.attemptsAt(name))),
    ...(slowFlushMs !== undefined && slowFlushMs > SLOW_FLUSH_MS
      ? [alarmOf('DtcLogSlow', null, { cause: `one flush in a hundred takes ${Math.round(slowFlushMs)} ms` })]
      : []),
  ];
}

function rateAlarm(
  name: 'DtcRefusing' | 'DtcAbortRateHigh' | 'DtcRetriesHigh',
  subject: string | null,
  { part, all }: { readonly part: number; readonly all: number },
): Alarm[] {
  return all >= FEWEST && part / all > PORTIONS[name] ? [percent(name, subject, part / all)] : [];
}

function percent(name: AlarmName, subject: string | null, portion: number): Alarm {
  return alarmOf(name, subject, { count: Math.round(portion * 100), unit: 'percent' });
}

function eventAlarms(runtime: CoordinatorRuntime, recent: RecentCounts): Alarm[] {
  const lost = recent.grown('lost', EVENTS_MS);
  const isLoop = lost !== undefined && lost.count >= RESTART_LOOP;
  return [
    ...events(runtime, isLoop ? 'DtcRestartLoop' : 'DtcMemberLost', lost),
    ...events(runtime, 'DtcMemberFenced', recent.grown('returns', EVENTS_MS)),
    ...events(runtime, 'DtcOrphansFound', recent.grown('orphans', EVENTS_MS)),
    ...events(runtime, 'DtcLinesDropped', recent.grown('dropped', EVENTS_MS)),
    ...events(runtime, 'DtcDefects', recent.grown('defects', 60 * MINUTE_MS)),
  ];
}

function events(
  runtime: CoordinatorRuntime,
  name: AlarmName,
  growth: Growth | undefined,
  subject: string | null = null,
): Alarm[] {
  if (growth === undefined) return [];
  const { count, since } = growth;
  return [alarmOf(name, subject, { count, unit: 'events', since: momentOf(runtime, since) })];
}

function recoveryAlarms(runtime: CoordinatorRuntime, recent: RecentCounts, upMs: number): Alarm[] {
  const isLong = runtime.isRecovering && upMs > RECOVERING_MS;
  const pauseMs = Math.max(RECOVERY_PAUSE_MS, 3 * runtime.parts.options.recoveryIntervalMs);
  const isStill = upMs > pauseMs && recent.grown('passes', pauseMs) === undefined;
  return isLong || isStill ? [alarmOf('DtcRecoveryNotEnding', null)] : [];
}

function participantAlarms(
  participant: RegisteredParticipant,
  runtime: CoordinatorRuntime,
  recent: RecentCounts,
  now: number,
): Alarm[] {
  const { name, paused } = participant;
  const alarms: Alarm[] = [];
  const silentSince = participant.silentSince(now);
  if (silentSince !== undefined)
    alarms.push(alarmOf('DtcParticipantSilent', name, { since: momentOf(runtime, silentSince) }));
  if (paused !== undefined) {
    const since = new Date(paused.since).toISOString();
    alarms.push(
      alarmOf('DtcParticipantPaused', name, { since, cause: `paused by ${paused.by}: ${paused.reason}` }),
    );
  }
  const failedScans = recent.failedScans(name, 2 * MINUTE_MS);
  if (failedScans !== undefined && failedScans.count > 1)
    alarms.push(...events(runtime, 'DtcOrphanScanFailing', failedScans, name));
  return [...alarms, ...undecidedAlarms(participant, runtime, now)];
}

function undecidedAlarms(
  participant: RegisteredParticipant,
  runtime: CoordinatorRuntime,
  now: number,
): Alarm[] {
  const { undecidable, foreign, oldest } = measurementsOf(participant).undecided;
  const first = (foreignOnes: boolean): number | undefined => {
    const found = oldest.filter(({ reason }) => isForeign(reason) === foreignOnes);
    return found.length === 0 ? undefined : Math.min(...found.map(({ since }) => since));
  };
  const alarms: Alarm[] = [];
  const add = (alarm: AlarmName, count: number, since: number | undefined): void => {
    const at = since === undefined ? null : momentOf(runtime, since);
    alarms.push(alarmOf(alarm, participant.name, { count, unit: 'branches', since: at }));
  };
  if (undecidable > 0) add('DtcUndecidableBranches', undecidable, first(false));
  const foreignSince = first(true);
  // Where undecidable ones fill the list of the oldest, nothing is known of the age of the others.
  const isOld = foreignSince === undefined || now - foreignSince >= FOREIGN_MS;
  if (foreign > 0 && isOld) add('DtcForeignBranches', foreign, foreignSince);
  return alarms;
}

function missingAlarms(runtime: CoordinatorRuntime, owing: Iterable<RegisteredParticipant>): Alarm[] {
  const registered = new Set(runtime.parts.participants.registered().map(({ name }) => name));
  const missing = new Set(Array.from(owing, ({ name }) => name).filter((name) => !registered.has(name)));
  return Array.from(missing, (name) => alarmOf('DtcParticipantMissing', name));
}

function momentOf({ parts }: CoordinatorRuntime, moment: number): string {
  return new Date(epochMsOf(parts.clock, moment)).toISOString();
}

function isForeign(reason: string): boolean {
  return reason === 'other-coordinator' || reason === 'malformed';
}
