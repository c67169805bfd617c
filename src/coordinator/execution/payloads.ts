import {
  State,
  type TransactionState,
  awaitsConfirmation,
  awaitsRecord,
  includes,
  isDecidedByBranch,
  isUndecided,
} from '../protocol/index.js';
import type { BranchRecord } from './records.js';

/** A branch with its payload. */
export interface KnownBranch {
  readonly branchId: string;
  /** The name of its participant. */
  readonly participant: string;
  /** Undefined after its end. */
  readonly payload: unknown;
  readonly state: TransactionState;
  /** Whether nothing is asked of it any more. */
  readonly isOver: boolean;
}

/**
 * The result for a new payload: it is in force (`replaced`), the branch is over (`over`), or a record with
 * the former payload is on its way to the log, so that nothing was changed (`later`).
 */
export type PayloadChange = 'replaced' | 'over' | 'later';

export function knownBranch(branch: BranchRecord): KnownBranch {
  const { branchId, participant, payload, transaction } = branch;
  return {
    branchId,
    participant: participant.name,
    payload,
    state: transaction.stateName,
    isOver: isOver(branch),
  };
}

/** Whether nothing is asked of a branch any more. */
export function isOver({ transaction, index, owes }: BranchRecord): boolean {
  const { state, readOnly, refused, yes } = transaction;
  if (isUndecided(state) || awaitsRecord(transaction)) return includes(readOnly | refused, index);
  // Those that wait for a last resource are asked for nothing yet.
  if (state === State.READY || awaitsConfirmation(transaction)) return !includes(yes, index) && !owes;
  return !owes;
}

/** Whether the log has a record with the payload of a branch that is not over. */
export function isInLog({ transaction }: BranchRecord): boolean {
  const { state, recordsAll } = transaction;
  if (state === State.COMMITTING) return recordsAll || !isDecidedByBranch(transaction);
  // The record names the branch that decides, and is there before the branch is asked. After an abort there
  // is none to write.
  return state === State.READY && recordsAll && isDecidedByBranch(transaction) && !awaitsRecord(transaction);
}
