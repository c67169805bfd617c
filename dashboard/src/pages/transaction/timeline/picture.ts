import type { BranchView, TimelineEntry, TransactionView } from '../../../api/views.js';
import { formatDuration } from '../../../words/durations.js';
import { describeEvent } from './event-words.js';

/** An event of a branch at one moment. */
export interface Marker {
  readonly atMs: number;
  readonly kind: 'yes' | 'read-only' | 'no' | 'failed' | 'done' | 'stalled' | 'heuristic' | 'other' | 'next';
  readonly label: string;
  /** The attempt, if there is one. */
  readonly attempt?: number;
}

/** The activity of a branch, from one moment to another. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
  /**
   * `prepared`: it holds its prepared work, and waits for the decision. `owed`: the decision is being
   * delivered to it.
   */
  readonly kind: 'preparing' | 'prepared' | 'owed';
}

export interface Lane {
  readonly branch: BranchView;
  readonly spans: readonly Span[];
  readonly markers: readonly Marker[];
}

/** A transaction as it is drawn. All moments are milliseconds since it began. */
export interface Picture {
  readonly lanes: readonly Lane[];
  readonly decision: { readonly atMs: number; readonly what: string } | null;
  /** Null once it has ended. */
  readonly nowMs: number | null;
  /** Every moment with an event, in order, each once. */
  readonly moments: readonly number[];
}

const KIND_OF_EVENT: Readonly<Record<string, Marker['kind']>> = {
  refused: 'no',
  'prepare-failed': 'no',
  'prepare-timed-out': 'no',
  'attempt-failed': 'failed',
  'attempt-timed-out': 'failed',
  committed: 'done',
  'rolled-back': 'done',
  stalled: 'stalled',
  heuristic: 'heuristic',
};
const ENDS_PREPARING = new Set(['voted', 'refused', 'prepare-failed', 'prepare-timed-out']);
const ENDS_BRANCH = new Set(['committed', 'rolled-back', 'heuristic']);

/** @param nowMs the coordinator's time, in milliseconds since 1970. */
export function pictureOf(transaction: TransactionView, nowMs: number): Picture {
  const { timeline, branches, startedAt, endedAt } = transaction;
  const startMs = Date.parse(startedAt);
  const lastMs = Math.max(0, ...timeline.map(({ atMs }) => atMs));
  const untilMs = endedAt === null ? Math.max(nowMs - startMs, lastMs) : lastMs;
  const decided = timeline.find(({ event }) => event === 'decided');
  const preparingMs = timeline.find(({ event }) => event === 'preparing')?.atMs;
  const lanes = branches.map((branch) =>
    laneOf(branch, timeline, { startMs, untilMs, preparingMs, decidedMs: decided?.atMs }),
  );
  const moments = [
    0,
    untilMs,
    ...timeline.map(({ atMs }) => atMs),
    ...lanes.flatMap(({ markers }) => markers.map(({ atMs }) => atMs)),
  ];
  return {
    lanes,
    decision: decided === undefined ? null : { atMs: decided.atMs, what: `${decided.detail ?? ''} decided` },
    nowMs: endedAt === null ? untilMs : null,
    moments: [...new Set(moments)].toSorted((a, b) => a - b),
  };
}

interface Frame {
  readonly startMs: number;
  readonly untilMs: number;
  readonly preparingMs: number | undefined;
  readonly decidedMs: number | undefined;
}

function laneOf(branch: BranchView, timeline: readonly TimelineEntry[], frame: Frame): Lane {
  const own = timeline.filter(({ branchId }) => branchId === branch.branchId);
  return { branch, spans: spansOf(own, frame), markers: [...own.map(markerOf), ...nextOf(branch, frame)] };
}

function spansOf(own: readonly TimelineEntry[], { untilMs, preparingMs, decidedMs }: Frame): Span[] {
  if (preparingMs === undefined) return [];
  const answer = own.find(({ event }) => ENDS_PREPARING.has(event));
  const answeredMs = answer?.atMs ?? decidedMs ?? untilMs;
  const spans: Span[] = [{ kind: 'preparing', fromMs: preparingMs, toMs: answeredMs }];
  if (answer?.detail === 'read-only') return spans;
  const endedMs = own.find(({ event }) => ENDS_BRANCH.has(event))?.atMs;
  if (answer?.event === 'refused' && endedMs === undefined) return spans;
  const heldMs = decidedMs ?? untilMs;
  if (answer !== undefined && answeredMs < heldMs) {
    spans.push({ kind: 'prepared', fromMs: answeredMs, toMs: heldMs });
  }
  if (decidedMs !== undefined) {
    spans.push({ kind: 'owed', fromMs: Math.max(decidedMs, answeredMs), toMs: endedMs ?? untilMs });
  }
  return spans.filter(({ fromMs, toMs }) => toMs >= fromMs);
}

function markerOf(entry: TimelineEntry): Marker {
  const { atMs, event, attempt, detail } = entry;
  const vote = detail === 'read-only' ? 'read-only' : 'yes';
  return {
    atMs,
    kind: event === 'voted' ? vote : (KIND_OF_EVENT[event] ?? 'other'),
    label: `${formatDuration(atMs)}: ${describeEvent(entry)}${event !== 'voted' && detail !== undefined ? ` (${detail})` : ''}`,
    ...(attempt !== undefined && { attempt }),
  };
}

function nextOf({ nextAttemptAt }: BranchView, { startMs, untilMs }: Frame): Marker[] {
  if (nextAttemptAt === null) return [];
  const atMs = Math.max(Date.parse(nextAttemptAt) - startMs, untilMs);
  return [{ atMs, kind: 'next', label: `${formatDuration(atMs)}: next attempt` }];
}
