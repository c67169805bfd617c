/**
 * How a branch ended, as its row in the guard table says.
 *
 * A guard table has one row a branch, with the global id as its key. The row `committed` is written in the transaction of
 * the work, so that it is seen if and only if the branch is committed: it is the proof. A rollback leaves a row
 * `rolled-back` that is committed by itself, the tombstone. As both have the same key, either the work is prepared or the
 * tombstone is there, and never both.
 */
export type BranchEnd = 'committed' | 'rolled-back';

/**
 * @param rows what was found under the global id: one row, or none.
 * @returns how the branch ended, or undefined without a row.
 * @throws Error for a state that no version up to this one writes.
 */
export function branchEndOf([row]: readonly { readonly state?: string | null }[]): BranchEnd | undefined {
  if (row === undefined) return undefined;
  if (row.state === 'committed' || row.state === 'rolled-back') return row.state;
  throw new Error(
    `The guard table has a row with the state ${row.state}, which this version does not write.`,
  );
}
