import type { BranchView, TransactionSummary } from '../api/views.js';
import { deciderOf } from '../words/attention.js';
import type { Action, Decision } from './action.js';

/** @returns the possible actions for a transaction in this state. The coordinator checks again. */
export function actionsOfTransaction(transaction: TransactionSummary): Action[] {
  const { state, heuristic, endedAt } = transaction;
  if (state === 'ACTIVE' || state === 'PREPARING') return [abort(transaction)];
  return heuristic !== null && endedAt !== null ? [forget(transaction)] : [];
}

/** @returns the possible actions for a branch in this state. */
export function actionsOfBranch(transaction: TransactionSummary, branch: BranchView): Action[] {
  const { state, stalled, held, nextAttemptAt } = branch;
  const { decision } = transaction;
  const owes = state === 'committing' || state === 'rolling-back' || branch === deciderOf(transaction);
  if (!owes) return mayForget(transaction, branch) ? forgetReportOf(transaction, branch) : [];
  const isWaiting = stalled || nextAttemptAt !== null;
  return [
    ...(isWaiting && !held ? [retry(transaction, branch, decision)] : []),
    ...(stalled || held ? [resolve(transaction, branch, decision)] : []),
  ];
}

/** Whether the branch holds a heuristic report that no operator has dealt with, and its transaction is over. */
export function mayForget({ endedAt }: TransactionSummary, branch: BranchView): boolean {
  return endedAt !== null && hasOpenReport(branch);
}

function hasOpenReport({ alarms }: BranchView): boolean {
  return alarms?.some((id) => id.startsWith('heuristic.')) === true;
}

/** The only report of a transaction is forgotten with the button of the transaction. */
function forgetReportOf({ transactionId, branches }: TransactionSummary, branch: BranchView): Action[] {
  if (branches.filter(hasOpenReport).length === 1) return [];
  const { branchId, participant } = branch;
  const action: Action = {
    kind: 'forget',
    label: 'Forget report',
    title: `Forget the report of ${participant}?`,
    target: `${transactionId}/${branchId}`,
    consequences: [
      `The report of ${participant} is deleted. Those of the other participants stay, and the transaction still needs attention. No participant is called and no data change.`,
      `Do this after the data at ${participant} are repaired. Afterwards only the audit trail shows it.`,
    ],
    confirm: 'Forget the report',
    done: `The report of ${participant} was forgotten.`,
    path: branchPath(transactionId, branchId, 'forget'),
    isFinal: true,
  };
  return [action];
}

function abort({ transactionId, branches }: TransactionSummary): Action {
  return {
    kind: 'abort',
    label: 'Abort',
    title: 'Abort this transaction?',
    target: transactionId,
    consequences: [
      `Abort is decided: ${branches.length === 1 ? 'its branch is' : `all ${branches.length} branches are`} rolled back, and the caller is told so. Nothing has been committed yet, so nothing is undone.`,
      'If commit is decided before this request arrives, it is refused and changes nothing.',
    ],
    confirm: 'Abort the transaction',
    done: 'The transaction was aborted.',
    path: `transactions/${encodeURIComponent(transactionId)}/abort`,
    isFinal: true,
  };
}

function forget({ transactionId }: TransactionSummary): Action {
  return {
    kind: 'forget',
    label: 'Forget report',
    title: 'Forget the heuristic report?',
    target: transactionId,
    consequences: [
      'The report is deleted and no longer needs attention. No participant is called and no data change.',
      'Do this after the data at the participants are repaired. Afterwards only the audit trail shows it.',
    ],
    confirm: 'Forget the report',
    done: 'The report was forgotten.',
    path: `transactions/${encodeURIComponent(transactionId)}/forget`,
    isFinal: true,
  };
}

function retry(
  { transactionId }: TransactionSummary,
  { branchId, participant }: BranchView,
  decision: Decision,
): Action {
  const call = decision === 'abort' ? 'rollback' : decision === null ? 'one-phase commit' : 'commit';
  return {
    kind: 'retry',
    label: 'Retry now',
    title: `Retry ${participant} now?`,
    target: `${transactionId}/${branchId}`,
    consequences: [
      `The ${call} is sent to ${participant} again, at once. ${decision === null ? 'It reports its decision, or decides now.' : 'The decision does not change.'}`,
      'If it fails, the coordinator continues to try as before. Participants must accept repeats, so nothing is done twice.',
    ],
    confirm: 'Retry now',
    done: `Another attempt at ${participant} is running.`,
    path: branchPath(transactionId, branchId, 'retry'),
    isFinal: false,
  };
}

function resolve(
  { transactionId }: TransactionSummary,
  { branchId, participant }: BranchView,
  decision: Decision,
): Action {
  return {
    kind: 'resolve',
    label: 'Resolve by hand',
    title: `Resolve ${participant} by hand?`,
    target: `${transactionId}/${branchId}`,
    consequences: [
      `You tell the coordinator how this branch has ended at ${participant}, because you have ended it or checked it there. The coordinator cannot verify this. It will not call ${participant} for this branch again.`,
      decision === null
        ? 'This participant commits in one phase, so the end that you state becomes the decision.'
        : `This does not change the decision, which is ${decision}.`,
    ],
    confirm: 'Record this end',
    done: `The end of the branch at ${participant} was recorded.`,
    path: branchPath(transactionId, branchId, 'resolve'),
    isFinal: true,
    asksEndAgainst: [decision],
  };
}

function branchPath(transactionId: string, branchId: string, verb: string): string {
  return `transactions/${encodeURIComponent(transactionId)}/branches/${encodeURIComponent(branchId)}/${verb}`;
}
