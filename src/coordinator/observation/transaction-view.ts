import type { Attributes } from '../participant/attributes.js';
import { traceIdIn } from '../participant/caller-note.js';
import { type BranchRecord, Call, type TransactionRecord } from '../execution/records.js';
import { Moment } from '../execution/clock.js';
import { abortReason, causeName } from '../execution/outcomes.js';
import {
  type AbortCause,
  type HeuristicKind,
  State,
  type TransactionState,
  heuristicOutcome,
  includes,
  isAbort,
  isCommit,
} from '../protocol/index.js';
import { alarmsByBranch } from './alarms/transaction-alarms.js';
import { durationOf, roundedMs } from './durations.js';
import { type TimelineEntry, timelineOf } from './timeline.js';

/** A transaction as it is shown in a list. It holds no payload. @publicApi */
export interface TransactionSummary {
  readonly transactionId: string;
  readonly name: string;
  /** The keys of the business that its caller has given it, if any. */
  readonly attributes?: Attributes;
  readonly state: TransactionState;
  /** Whether a branch used up its attempts and waits for the recovery job. */
  readonly stalled: boolean;
  /** Whether it is prepared and its decision not known yet. */
  readonly inDoubt: boolean;
  readonly decision: 'commit' | 'abort' | null;
  /** Why it was aborted. */
  readonly cause: AbortCause | null;
  readonly reason: string | null;
  readonly heuristic: HeuristicKind | null;
  /** ISO 8601, as all moments here. */
  readonly startedAt: string;
  readonly deadlineAt: string;
  readonly decidedAt: string | null;
  readonly endedAt: string | null;
  /** From the start to the end, in milliseconds; null while it goes on. */
  readonly durationMs: number | null;
  /** From the start to now, or to its end, in milliseconds. */
  readonly ageMs: number;
  readonly branches: readonly BranchView[];
  /** The group that it is, or of which it is a member. Left out for any other transaction. */
  readonly group?: GroupView;
}

/** A group of transactions that were prepared as one. @publicApi */
export interface GroupView {
  /** The id of the group. */
  readonly id: string;
  /** The number of its members, in the latest run. */
  readonly size: number;
  /** How often the work of its members has run. */
  readonly runs: number;
}

/** A transaction as it is shown on its own: with what happened, in order. @publicApi */
export interface TransactionView extends TransactionSummary {
  /** The id of the trace that it belongs to. Left out for a transaction that is not traced. */
  readonly traceId?: string;
  /** The id of the request that began it, if its caller has given one. */
  readonly requestId?: string;
  readonly timeline: readonly TimelineEntry[];
}

/** One branch as it is shown to people. @publicApi */
export interface BranchView {
  readonly branchId: string;
  readonly participant: string;
  /** `none`: it failed, or was late, so there was no vote. */
  readonly vote: 'commit' | 'read-only' | 'abort' | 'none' | null;
  /** Until when its vote for commit holds. Only a vote that expires has this field. */
  readonly expiresAt?: string;
  readonly state: BranchState;
  readonly stalled: boolean;
  /** Whether its completion waits because its participant is paused. */
  readonly held: boolean;
  /** Attempts to deliver the decision. */
  readonly attempts: number;
  readonly lastError: string | null;
  /** When the decision is delivered again; null while an attempt runs, and when the recovery job decides. */
  readonly nextAttemptAt: string | null;
  readonly heuristic: { readonly kind: HeuristicKind; readonly reason: string } | null;
  /** The ids of the alarms that count it, as `GET /attention` has them. Left out for none. */
  readonly alarms?: readonly string[];
}

/**
 * How far a branch is, as it is shown to people: made from its vote and from what it still owes to the decision.
 * `heuristic` is one that reported an end of its own.
 *
 * @publicApi
 */
export type BranchState =
  | 'enlisted'
  | 'preparing'
  | 'prepared'
  | 'read-only'
  | 'refused'
  | 'committing'
  | 'committed'
  | 'rolling-back'
  | 'rolled-back'
  | 'heuristic';

export function viewOf(transaction: TransactionRecord): TransactionView {
  const { requestId, traceparent } = transaction.extras?.caller ?? {};
  const traceId = traceIdIn(traceparent);
  return {
    ...summaryOf(transaction),
    ...(traceId !== undefined && { traceId }),
    ...(requestId !== undefined && { requestId }),
    timeline: timelineOf(transaction),
  };
}

export function summaryOf(transaction: TransactionRecord): TransactionSummary {
  const { state, startedAt, decidedAt, endedAt, deadlineAt, executor } = transaction;
  const now = executor.clock.now();
  const at = (moment: number): string => new Date(executor.clock.epochMs + moment).toISOString();
  const alarms = alarmsByBranch(transaction, now);
  return {
    transactionId: transaction.id,
    name: transaction.name,
    ...(transaction.extras?.attributes && { attributes: transaction.extras.attributes }),
    state: transaction.stateName,
    stalled: transaction.isStalled,
    inDoubt: state === State.READY,
    decision: isCommit(state) ? 'commit' : isAbort(state) ? 'abort' : null,
    cause: isAbort(state) ? causeName(transaction) : null,
    reason: isAbort(state) ? abortReason(transaction) : null,
    heuristic: heuristicOutcome(transaction) ?? null,
    startedAt: at(startedAt),
    deadlineAt: at(deadlineAt),
    decidedAt: decidedAt === 0 ? null : at(decidedAt),
    endedAt: endedAt === 0 ? null : at(endedAt),
    durationMs: endedAt === 0 ? null : durationOf(transaction),
    ageMs: roundedMs((endedAt === 0 ? now : endedAt) - startedAt),
    branches: transaction.branches.map((branch) => branchView(branch, at, alarms?.get(branch.index))),
    ...(transaction.extras?.group?.note && { group: transaction.extras.group.note }),
  };
}

function branchView(
  branch: BranchRecord,
  at: (moment: number) => string,
  alarms: readonly string[] | undefined,
): BranchView {
  const { delivery } = branch;
  const waiting = delivery !== undefined && delivery.attempt === undefined && Number.isFinite(delivery.dueAt);
  return {
    branchId: branch.branchId,
    participant: branch.participant.name,
    vote: voteOf(branch),
    ...(branch.expiry && { expiresAt: at(branch.expiry.expiresAt) }),
    state: stateOf(branch),
    stalled: includes(branch.transaction.stalled, branch.index),
    held: branch.isHeld,
    attempts: branch.attempts,
    lastError: delivery?.lastError ?? branch.refusal?.reason ?? null,
    nextAttemptAt: waiting ? at(delivery.dueAt) : null,
    heuristic: branch.heuristic ?? null,
    ...(alarms && { alarms }),
  };
}

function voteOf({ transaction, index, votedUs }: BranchRecord): BranchView['vote'] {
  if (includes(transaction.yes, index)) return 'commit';
  if (includes(transaction.readOnly, index)) return 'read-only';
  if (includes(transaction.refused, index)) return 'abort';
  return votedUs === Moment.NOT_YET ? null : 'none';
}

function stateOf({ transaction, index, call, heuristic }: BranchRecord): BranchState {
  if (heuristic !== undefined) return 'heuristic';
  if (includes(transaction.readOnly, index)) return 'read-only';
  if (includes(transaction.refused, index)) return 'refused';
  if (isCommit(transaction.state)) return includes(transaction.open, index) ? 'committing' : 'committed';
  if (isAbort(transaction.state)) return includes(transaction.open, index) ? 'rolling-back' : 'rolled-back';
  if (includes(transaction.yes, index)) return 'prepared';
  return call === Call.NONE ? 'enlisted' : 'preparing';
}
