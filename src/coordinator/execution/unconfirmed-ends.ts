import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { Branches, includes, only } from '../protocol/index.js';
import { branchKey } from '../participant/participant.js';
import type { BranchRecord, TransactionRecord } from './records.js';

/** A branch whose completion is unconfirmed, and since when, on the coordinator's clock. */
export interface UnconfirmedEnd {
  readonly branch: BranchRecord;
  readonly since: number;
}

/**
 * Branches whose completion is unconfirmed: their participant has reported an end against the decision, an
 * operator has stated their end, or an earlier run has recorded that they are completed. Such a branch may
 * still be prepared. If its decision were forgotten, it would count as an orphan and be rolled back, even
 * after a commit. So the decision is kept until the branch is no longer in its participant's list. While it
 * is in the list, it receives the decision again.
 */
export class UnconfirmedEnds {
  /** By the name of the participant and the key of the branch. */
  private readonly ends = new Map<string, Map<string, UnconfirmedEnd>>();

  /**
   * Adds a branch, unless its participant cannot list prepared branches: then it never counts as an orphan.
   */
  add(branch: BranchRecord, now: number): void {
    const { participant, transaction, index } = branch;
    if (!mayList(participant)) return;
    transaction.needExtras().unconfirmed |= only(index);
    const ends = this.ends.get(participant.name) ?? new Map<string, UnconfirmedEnd>();
    ends.set(branchKey(branch), { branch, since: now });
    this.ends.set(participant.name, ends);
  }

  /** The branch is known not to be prepared, or receives the decision again. */
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

  /** @returns the branches of a participant. */
  of(participant: string): UnconfirmedEnd[] {
    return [...(this.ends.get(participant)?.values() ?? [])];
  }
}

/** Whether the completion of the branch is unconfirmed. */
export function isUnconfirmed({ transaction, index }: BranchRecord): boolean {
  return includes(transaction.extras?.unconfirmed ?? Branches.NONE, index);
}

/** Whether the completion of any branch of the transaction is unconfirmed. */
export function hasUnconfirmed({ extras }: TransactionRecord): boolean {
  return extras !== undefined && extras.unconfirmed !== Branches.NONE;
}

/** A participant that is not registered yet may be able to list them. */
export function mayList({ isAwaited, instance }: RegisteredParticipant): boolean {
  return isAwaited || typeof instance.recover === 'function';
}
