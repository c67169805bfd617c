import type { Admission } from '../execution/admission.js';
import type { BranchRecord, TransactionRecord } from '../execution/records.js';
import {
  type HeuristicKind,
  State,
  awaitsRecord,
  hasLastResource,
  heuristicBranches,
  includes,
  isAbort,
  isCommit,
  isDecidedByBranch,
} from '../protocol/index.js';

/** Why an order is refused in the present state, in one sentence; undefined when it is not refused. */
export const reasonAgainst = {
  abort(transaction: TransactionRecord): string | undefined {
    const { state, id } = transaction;
    if (isCommit(state)) return `The commit of ${id} is decided, and a decision is final.`;
    if (isAbort(state)) return `${id} is already aborted.`;
    if (state === State.READY && hasLastResource(transaction) && !awaitsRecord(transaction)) {
      const { participant } = transaction.branches[transaction.decider]!;
      return `"${participant.name}" decides ${id}, was asked to commit, and may have committed: ${id} can no longer be aborted.`;
    }
    if (state === State.READY && isDecidedByBranch(transaction) && !hasLastResource(transaction)) {
      return `The only participant of ${id} was asked to commit in one phase, and may have committed: ${id} can no longer be aborted.`;
    }
    if (state === State.READY) {
      return `Every branch of ${id} has voted, and its decision may already be recorded: it can no longer be aborted.`;
    }
    return undefined;
  },

  retry(branch: BranchRecord): string | undefined {
    const { participant, delivery } = branch;
    if (participant.isAwaited) return `No participant "${participant.name}" is registered.`;
    if (participant.paused !== undefined)
      return `Participant "${participant.name}" is paused: resume it first.`;
    if (!branch.owes) return `Branch "${branch.branchId}" has no decision to deliver.`;
    if (delivery === undefined || delivery.attempt !== undefined) {
      return `An attempt to complete branch "${branch.branchId}" is running.`;
    }
    return undefined;
  },

  resolve(branch: BranchRecord, as: HeuristicKind): string | undefined {
    const { transaction, index, branchId, delivery } = branch;
    if (!branch.owes || !(includes(transaction.stalled, index) || branch.isHeld)) {
      return `Branch "${branchId}" has not stalled, and its participant is not paused: it is still being tried.`;
    }
    if (delivery?.attempt !== undefined) {
      return `An attempt to complete branch "${branchId}" is running: pause its participant, and try again when the attempt has ended.`;
    }
    if (as === 'hazard' && transaction.state === State.READY && hasLastResource(transaction)) {
      return `The other branches of ${transaction.id} follow branch "${branchId}": find out how it has ended, and say commit or rollback.`;
    }
    return undefined;
  },

  forget({ id, hasHeuristics, endedAt }: TransactionRecord): string | undefined {
    if (!hasHeuristics) return `${id} holds no heuristic report.`;
    return endedAt === 0 ? `${id} has not ended: its reports can be forgotten after its end.` : undefined;
  },

  forgetReport({ transaction, branchId, index }: BranchRecord): string | undefined {
    const { id, endedAt } = transaction;
    if (!includes(heuristicBranches(transaction), index))
      return `Branch "${branchId}" of ${id} holds no heuristic report.`;
    return endedAt === 0 ? `${id} has not ended: its reports can be forgotten after its end.` : undefined;
  },

  resume(name: string, isPaused: boolean): string | undefined {
    return isPaused ? undefined : `Participant "${name}" is not paused.`;
  },

  undrain({ isDraining }: Admission): string | undefined {
    return isDraining ? undefined : 'The coordinator is not drained.';
  },
};
