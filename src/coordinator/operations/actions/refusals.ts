import type { Admission } from '../../execution/admission.js';
import type { BranchRecord } from '../../execution/branch-record.js';
import type { TransactionRecord } from '../../execution/transaction-record.js';
import type { RegisteredParticipant } from '../../participant/registered-participant.js';
import { READY, includes, isAbort, isCommit } from '../../protocol/index.js';

/** Why an action is refused as things are, in one sentence; undefined when it is not. */
export const reasonAgainst = {
  abort({ state, id }: TransactionRecord): string | undefined {
    if (isCommit(state)) return `The commit of ${id} is decided, and a decision is never turned round.`;
    if (isAbort(state)) return `${id} is aborted already.`;
    if (state === READY) {
      return `Every branch of ${id} has voted, and its decision may be recorded already: it cannot be aborted any more.`;
    }
    return undefined;
  },

  retry(branch: BranchRecord): string | undefined {
    const { participant, delivery } = branch;
    if (participant.isAwaited) return `No participant "${participant.name}" is registered.`;
    if (participant.paused !== undefined)
      return `Participant "${participant.name}" is paused: resume it first.`;
    if (!owes(branch)) return `Branch "${branch.branchId}" has no decision to be told.`;
    if (delivery === undefined || delivery.attempt !== undefined) {
      return `An attempt to complete branch "${branch.branchId}" is under way.`;
    }
    return undefined;
  },

  resolve(branch: BranchRecord): string | undefined {
    const { transaction, index, branchId, delivery } = branch;
    if (!owes(branch) || !includes(transaction.stalled, index)) {
      return `Branch "${branchId}" has not stalled: only a branch that has is resolved by hand.`;
    }
    if (delivery?.attempt !== undefined) {
      return `An attempt to complete branch "${branchId}" is under way: pause its participant, and ask again when it is over.`;
    }
    return undefined;
  },

  forget({ id, hasHeuristics, endedAt }: TransactionRecord): string | undefined {
    if (!hasHeuristics) return `${id} holds no heuristic report.`;
    return endedAt === 0 ? `${id} goes on: its reports are forgotten when it has ended.` : undefined;
  },

  resume({ name, paused }: RegisteredParticipant): string | undefined {
    return paused === undefined ? `Participant "${name}" is not paused.` : undefined;
  },

  undrain({ isDraining }: Admission): string | undefined {
    return isDraining ? undefined : 'The coordinator is not drained.';
  },
};

/** Whether the branch has yet to be told the decision, or asked for it. */
function owes({ transaction, index }: BranchRecord): boolean {
  return includes(transaction.state === READY ? transaction.awaiting : transaction.open, index);
}
