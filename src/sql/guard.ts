/**
 * How a branch ended, according to its row in the guard table.
 *
 * A guard table has one row for each branch, with the global id as its key. The row `committed` is written in
 * the transaction of the work, so it is visible if and only if the branch is committed: it is the proof. A
 * rollback leaves a row `rolled-back` that is committed by itself, the tombstone. Since both have the same
 * key, either the work is prepared or the tombstone exists, and never both.
 */
export type BranchEnd = 'committed' | 'rolled-back';

/**
 * @param rows the rows with the global id: one or none.
 * @returns how the branch ended, or undefined without a row.
 * @throws Error for a state that this and earlier versions do not write.
 */
export function branchEndOf([row]: readonly { readonly state?: string | null }[]): BranchEnd | undefined {
  if (row === undefined) return undefined;
  if (row.state === 'committed' || row.state === 'rolled-back') return row.state;
  throw new Error(
    `The guard table has a row with the state ${row.state}, which this version does not write.`,
  );
}
