import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { includes } from '../protocol/index.js';
import type { BranchRecord } from './records.js';

/**
 * @returns another branch of the transaction that is prepared in the same database, or at the same
 * participant.
 */
export function preparedSibling({ transaction, participant, index }: BranchRecord): BranchRecord | undefined {
  return transaction.branches.find(
    (other) =>
      other.index !== index &&
      includes(transaction.yes, other.index) &&
      sharesDatabase(other.participant, participant),
  );
}

function sharesDatabase(one: RegisteredParticipant, other: RegisteredParticipant): boolean {
  return one === other || (one.database !== undefined && one.database === other.database);
}
