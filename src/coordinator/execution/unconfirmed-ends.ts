import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { NO_BRANCHES, includes, only } from '../protocol/index.js';
import { branchKey } from '../participant/participant.js';
import type { BranchRecord, TransactionRecord } from './records.js';

/** A branch that is over by word, and since when, on the coordinator's clock. */
export interface UnconfirmedEnd {
  readonly branch: BranchRecord;
  readonly since: number;
}

/**
 * Branches that are over by word alone: their participant has reported an end of its own, an operator has said how they have
 * ended, or an earlier run has noted that they are completed. Such a branch may still be prepared. Were its decision forgotten,
 * it would be taken for an orphan and rolled back, also after a commit. So the decision is kept until the branch is no longer
 * in the list of its participant. While it is in the list, it is told the decision again.
 */
export class UnconfirmedEnds {
  /** By the name of the participant and the key of the branch. */
  private readonly ends = new Map<string, Map<string, UnconfirmedEnd>>();

  /** Notes a branch, unless its participant cannot list what is prepared: then it is never taken for an orphan. */
  add(branch: BranchRecord, now: number): void {
    const { participant, transaction, index } = branch;
    if (!mayList(participant)) return;
    transaction.needExtras().unconfirmed |= only(index);
    const ends = this.ends.get(participant.name) ?? new Map<string, UnconfirmedEnd>();
    ends.set(branchKey(branch), { branch, since: now });
    this.ends.set(participant.name, ends);
  }

  /** The branch is known not to be prepared, or it is told the decision again. */
  remove(branch: BranchRecord): void {
    const { participant, transaction, index } = branch;
    if (!isUnconfirmed(branch)) return;
    transaction.needExtras().unconfirmed &= ~only(index);
    const ends = this.ends.get(participant.name);
    ends?.delete(branchKey(branch));
    if (ends?.size === 0) this.ends.delete(participant.name);
  }

  /** @returns the branch of a participant, by its key. */
  find(participant: string, key: string): UnconfirmedEnd | undefined {
    return this.ends.get(participant)?.get(key);
  }

  /** @returns those of a participant. */
  of(participant: string): UnconfirmedEnd[] {
    return [...(this.ends.get(participant)?.values() ?? [])];
  }
}

/** Whether the branch is over by word alone. */
export function isUnconfirmed({ transaction, index }: BranchRecord): boolean {
  return includes(transaction.extras?.unconfirmed ?? NO_BRANCHES, index);
}

/** Whether a branch of the transaction is over by word alone. */
export function hasUnconfirmed({ extras }: TransactionRecord): boolean {
  return extras !== undefined && extras.unconfirmed !== NO_BRANCHES;
}

/** One that is not registered yet may be able to. */
export function mayList({ isAwaited, instance }: RegisteredParticipant): boolean {
  return isAwaited || typeof instance.recover === 'function';
}
