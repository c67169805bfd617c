import type { BranchView, TransactionSummary } from '../api/views.js';
import { formatAge } from './durations.js';
import { plural } from './numbers.js';

/** Why a transaction needs an operator, as a text. */
export interface Attention {
  readonly kind: 'in doubt' | 'stalled' | 'heuristic';
  readonly why: readonly string[];
  /** ISO 8601. */
  readonly since: string;
  readonly next: string;
}

/** @returns undefined for a transaction that continues by itself. */
export function attentionOf(transaction: TransactionSummary, nowMs: number): Attention | undefined {
  const { heuristic, stalled, inDoubt, decision, branches, startedAt, decidedAt } = transaction;
  if (stalled) {
    const waiting = branches.filter((branch) => branch.stalled);
    return {
      kind: 'stalled',
      why: waiting.map(whyStalled),
      since: decidedAt ?? startedAt,
      next: nextOf(transaction, nowMs),
    };
  }
  if (heuristic !== null) {
    return {
      kind: 'heuristic',
      why: branches.flatMap((branch) => whyHeuristic(branch, decision)),
      since: decidedAt ?? startedAt,
      next: nextOf(transaction, nowMs),
    };
  }
  if (!inDoubt) return undefined;
  const decider = deciderOf(transaction);
  return {
    kind: 'in doubt',
    why: [
      decider === undefined
        ? 'Every participant is prepared and holds its resources; the decision record is not confirmed.'
        : `${decider.participant} commits in one phase, and has not reported whether it committed.`,
    ],
    since: startedAt,
    next: nextOf(transaction, nowMs),
  };
}

/**
 * @returns the branch that was asked to commit in one phase and has not answered. Only its participant knows
 * that decision, not the log.
 */
export function deciderOf({ inDoubt, branches }: TransactionSummary): BranchView | undefined {
  if (!inDoubt) return undefined;
  return branches.find(({ state, stalled, attempts }) => state === 'preparing' && (stalled || attempts > 0));
}

/** @returns what happens next without an operator. */
export function nextOf(transaction: TransactionSummary, nowMs: number): string {
  const { state, heuristic, inDoubt, branches, deadlineAt } = transaction;
  const decider = deciderOf(transaction);
  if (decider !== undefined) {
    const { participant } = decider;
    return `${participant} is asked until it reports its decision. ${nextOfBranch(decider, nowMs)}`;
  }
  if (inDoubt) return 'The coordinator asks the decision log until it knows. No other process may decide.';
  if (state === 'ACTIVE' || state === 'PREPARING') {
    const leftMs = Date.parse(deadlineAt) - nowMs;
    return leftMs > 0
      ? `Decided by its participants' votes, or aborted at its deadline in ${formatAge(leftMs)}.`
      : 'Its deadline has passed: it is about to be aborted.';
  }
  if (state === 'READY') return 'The decision is being recorded.';
  const owing = branches.filter(({ state }) => state === 'committing' || state === 'rolling-back');
  if (owing.length > 0) return owing.map((branch) => nextOfBranch(branch, nowMs)).join(' ');
  if (heuristic !== null)
    return 'Nothing by itself. Repair the data at the participants, then forget the report.';
  return 'Nothing more: it has ended.';
}

/** @returns when and how a branch receives the decision, or is asked for the decision that it makes. */
export function nextOfBranch(
  { participant, held, nextAttemptAt, stalled }: BranchView,
  nowMs: number,
): string {
  if (held) return `${participant}: waits until the participant is resumed.`;
  if (nextAttemptAt === null) {
    return stalled
      ? `${participant}: tried at the next round of the recovery job.`
      : `${participant}: an attempt is running.`;
  }
  const inMs = Date.parse(nextAttemptAt) - nowMs;
  return `${participant}: next attempt ${inMs >= 1_000 ? `in ${formatAge(inMs)}` : 'now'}.`;
}

function whyStalled({ participant, attempts, lastError, held }: BranchView): string {
  const tried = `${participant}: ${plural(attempts, 'attempt')} failed`;
  const last = lastError === null ? '' : `, the last with “${lastError}”`;
  return `${tried}${last}${held ? '; the participant is paused' : ''}.`;
}

function whyHeuristic({ participant, heuristic }: BranchView, decision: 'commit' | 'abort' | null): string[] {
  if (heuristic === null) return [];
  const { kind, reason } = heuristic;
  const against = decision === null ? '' : ` although ${decision} was decided`;
  const ended = {
    commit: `committed${decision === 'commit' ? ' on its own' : against}`,
    rollback: `rolled back${decision === 'abort' ? ' on its own' : against}`,
    mixed: 'ended partly committed, partly rolled back',
    hazard: 'may have ended either way',
  }[kind];
  return [`${participant} ${ended}: ${reason}`];
}
