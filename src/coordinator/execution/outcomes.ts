import type { AbortedOutcome, HeuristicOutcome, Outcome, PendingOutcome } from '../outcome.js';
import {
  ABORT_CAUSES,
  type AbortCause,
  Branches,
  Cause,
  CauseBranch,
  State,
  Told,
  awaitsConfirmation,
  awaitsRecord,
  heuristicOutcome,
  isAbort,
} from '../protocol/index.js';
import type { TransactionRecord } from './records.js';

/** @returns the full outcome for the caller. */
export function outcomeOf(transaction: TransactionRecord, told: Told): Outcome {
  if (told === Told.COMMITTED) return { status: 'committed', transactionId: transaction.id };
  if (told === Told.ABORTED) return aborted(transaction);
  if (told === Told.HEURISTIC) return heuristic(transaction);
  return pending(transaction);
}

/** @returns the outcome for a caller that asks now, after another caller was told. */
export function outcomeNow(transaction: TransactionRecord): Outcome {
  if (isAbort(transaction.state))
    return transaction.hasHeuristics ? heuristic(transaction) : aborted(transaction);
  if (transaction.state !== State.COMMITTED) return pending(transaction);
  return outcomeOf(transaction, transaction.hasHeuristics ? Told.HEURISTIC : Told.COMMITTED);
}

/** @returns the reason of the abort, for people. */
export function abortReason(transaction: TransactionRecord): string {
  const culprit = transaction.branches[transaction.causeBranch];
  if (culprit?.refusal !== undefined) return culprit.refusal.reason;
  const { extras } = transaction;
  const reason = transaction.cause === Cause.ROLLBACK_ONLY ? extras?.rollbackOnlyReason : extras?.abortReason;
  return reason ?? REASONS[causeName(transaction)];
}

const REASONS: Record<AbortCause, string> = {
  refused: 'a participant refused',
  failed: 'a participant failed',
  'timed-out': 'the transaction was not decided before its deadline',
  cancelled: 'the caller cancelled',
  'rolled-back': 'the caller asked for rollback',
  'rollback-only': 'the transaction was marked rollback-only',
  'not-recorded': 'the decision could not be recorded, and is proven not to be in the log',
  presumed: 'an earlier run of the coordinator ended without a decision',
  expired: 'the vote of a participant expired before the decision',
};

export function causeName(transaction: TransactionRecord): AbortCause {
  return ABORT_CAUSES[transaction.cause] as AbortCause;
}

function aborted(transaction: TransactionRecord): AbortedOutcome {
  const culprit =
    transaction.causeBranch === CauseBranch.NONE ? undefined : transaction.branches[transaction.causeBranch];
  const refusal = culprit?.refusal;
  return {
    status: 'aborted',
    transactionId: transaction.id,
    cause: causeName(transaction),
    ...(culprit && { participant: culprit.participant.name, branchId: culprit.branchId }),
    ...(refusal?.code !== undefined && { code: refusal.code }),
    reason: abortReason(transaction),
    ...(refusal?.temporary === true && { temporary: true }),
    ...(refusal?.error !== undefined && { error: refusal.error }),
  };
}

function pending(transaction: TransactionRecord): PendingOutcome {
  const { id: transactionId, branches } = transaction;
  if (transaction.state === State.READY) {
    const decider = awaitsRecord(transaction) ? undefined : branches[transaction.decider];
    const reason = decider
      ? `${decider.participant.name} has not reported whether it committed`
      : 'it is not known yet whether the decision is in the log';
    return { status: 'pending', transactionId, decision: 'unknown', reason };
  }
  if (awaitsConfirmation(transaction)) {
    const { participant } = branches[transaction.decider]!;
    const reason = `${participant.name} has committed, which the log has yet to take before the others commit`;
    return { status: 'pending', transactionId, decision: 'commit', reason };
  }
  const owing = branches.filter((branch) => ((transaction.open >> branch.index) & 1) === 1);
  const names = owing.map((branch) => branch.participant.name).join(', ');
  const reason = `commit is decided, and ${names} has yet to acknowledge it`;
  return { status: 'pending', transactionId, decision: 'commit', reason };
}

function heuristic(transaction: TransactionRecord): HeuristicOutcome {
  const reports = transaction.branches.flatMap(({ heuristic: report, participant, branchId }) =>
    report === undefined ? [] : [{ participant: participant.name, branchId, ...report }],
  );
  const kind = heuristicOutcome(transaction)!;
  // While one branch is open, the end of the others is not known, unless a single branch did both.
  const isOpen = transaction.open !== Branches.NONE && transaction.mixed === Branches.NONE;
  return {
    status: 'heuristic',
    transactionId: transaction.id,
    decision: isAbort(transaction.state) ? 'abort' : 'commit',
    heuristic: isOpen ? 'hazard' : kind,
    reports,
  };
}
