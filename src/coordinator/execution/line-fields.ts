import type { Attributes } from '../participant/attributes.js';
import { type OriginFields, originOf } from '../participant/caller-note.js';
import type { BranchRecord, TransactionRecord } from './records.js';

/** The fields of every line about a transaction. */
interface TransactionFields extends OriginFields {
  readonly transactionId: string;
  readonly name: string;
  readonly attributes?: Attributes;
}

export function fieldsOfTransaction({
  id: transactionId,
  name,
  extras,
}: TransactionRecord): TransactionFields {
  if (extras === undefined) return { transactionId, name };
  const { attributes, caller } = extras;
  return {
    transactionId,
    name,
    ...(attributes !== undefined && { attributes }),
    ...(caller !== undefined && originOf(caller)),
  };
}

export function fieldsOfBranch({ transaction, branchId, participant, attempts }: BranchRecord): object {
  return { ...fieldsOfTransaction(transaction), branchId, participant: participant.name, attempt: attempts };
}
