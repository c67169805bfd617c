import type { Incident, IncidentType } from '../execution/incident.js';
import { Call, type TransactionRecord } from '../execution/records.js';
import { Moment } from '../execution/clock.js';
import { roundedMs } from './durations.js';
import { State, includes, isAbort, isCommit } from '../protocol/index.js';

/** One event of a transaction. @publicApi */
export interface TimelineEntry {
  /** Milliseconds since the transaction began. */
  readonly atMs: number;
  readonly event:
    | 'begun'
    | 'grouped'
    | 'preparing'
    | 'voted'
    | 'decided'
    | 'committed'
    | 'rolled-back'
    | 'ended'
    | IncidentType;
  /** The branch, if one is concerned. */
  readonly branchId?: string;
  /** The attempt to complete, from 1. */
  readonly attempt?: number;
  readonly detail?: string;
}

/**
 * The events of a transaction, in order. The regular steps come from the times in its record. Irregular
 * events were noted when they happened. If there were very many, those in the middle are missing.
 */
export function timelineOf(transaction: TransactionRecord): TimelineEntry[] {
  const { branches, startedAt, preparingAt, decidedAt, endedAt, state } = transaction;
  const since = (moment: number): number => roundedMs(moment - startedAt);
  const entries: TimelineEntry[] = [{ atMs: 0, event: 'begun', detail: transaction.name }];
  const group = transaction.extras?.group;
  if (group?.note !== undefined && preparingAt !== 0) {
    const { id, size, runs } = group.note;
    const what = group.isGroup ? '' : `member of the group ${id}: `;
    entries.push({
      atMs: since(preparingAt),
      event: 'grouped',
      detail: `${what}${size} members, run ${runs}`,
    });
  }
  if (state !== State.ACTIVE && preparingAt !== 0)
    entries.push({ atMs: since(preparingAt), event: 'preparing' });
  for (const { branchId, votedUs, index } of branches) {
    if (votedUs === Moment.NOT_YET) continue;
    if (includes(transaction.yes, index) && !includes(transaction.late, index)) {
      entries.push({ atMs: roundedMs(votedUs / 1000), event: 'voted', branchId, detail: 'commit' });
    } else if (includes(transaction.readOnly, index)) {
      entries.push({ atMs: roundedMs(votedUs / 1000), event: 'voted', branchId, detail: 'read-only' });
    }
  }
  const incidents = (transaction.extras?.incidents ?? []).map((incident) => entryOf(incident, transaction));
  entries.push(...incidents.filter(({ event }) => BEFORE_DECISION.has(event)));
  if (decidedAt !== 0) {
    entries.push({ atMs: since(decidedAt), event: 'decided', detail: isAbort(state) ? 'abort' : 'commit' });
  }
  for (const { branchId, completedUs, attempts, call, heuristic } of branches) {
    if (completedUs === Moment.NOT_YET || heuristic !== undefined || (call === Call.NONE && attempts === 0))
      continue;
    const event = isCommit(state) ? 'committed' : 'rolled-back';
    entries.push({ atMs: roundedMs(completedUs / 1000), event, branchId, attempt: attempts });
  }
  entries.push(...incidents.filter(({ event }) => !BEFORE_DECISION.has(event)));
  if (endedAt !== 0) entries.push({ atMs: since(endedAt), event: 'ended', detail: transaction.stateName });
  // A stable sort: events of one moment stay in the order of the protocol.
  return entries.toSorted((a, b) => a.atMs - b.atMs);
}

/** Leads to a decision, and so precedes it when both happen at one moment. */
const BEFORE_DECISION = new Set<TimelineEntry['event']>([
  'refused',
  'prepare-failed',
  'prepare-timed-out',
  'record-unknown',
  'vote-expired',
]);

function entryOf(
  { atUs, type, branch, attempt, message }: Incident,
  transaction: TransactionRecord,
): TimelineEntry {
  const branchId = transaction.branches[branch]?.branchId;
  return {
    atMs: roundedMs(atUs / 1000),
    event: type,
    ...(branchId !== undefined && { branchId }),
    ...(attempt > 0 && { attempt }),
    detail: message,
  };
}
