/**
 * The steps in which a database may answer with an error. `begin`: the transaction is opened and its guard row
 * written. `work`: the user's statements. `prepare`: it is prepared, or committed where the branch commits in one
 * phase. `commit`, `rollback`: the prepared branch is ended, or its tombstone written.
 */
export const PHASES = ['begin', 'work', 'prepare', 'commit', 'rollback'] as const;
export type Phase = (typeof PHASES)[number];

/**
 * What an error says of the branch.
 * - `exists`: its guard row is there already, which says how the branch ended.
 * - `held`: another session holds its guard row: the branch may be prepared already.
 * - `refused`: nothing is held, and this is proven. A vote of abort, with its reason.
 * - `failed`: the transaction is open no more and not prepared by this call; but it is no refusal.
 * - `unknown`: what the call has done is not known. Never a proof of no.
 * - `not-found`: no such prepared transaction. Whether that is right, the guard row says.
 * - `retry`: the same call will do later.
 * - `operator`: the same call will do once an operator has removed the cause.
 */
export type Meaning =
  'exists' | 'held' | 'refused' | 'failed' | 'unknown' | 'not-found' | 'retry' | 'operator';

/** What one error says in each phase. */
export type Meanings = Readonly<Record<Phase, Meaning>>;

export function means(
  begin: Meaning,
  work: Meaning,
  prepare: Meaning,
  commit: Meaning,
  rollback: Meaning,
): Meanings {
  return { begin, work, prepare, commit, rollback };
}

/** The connection or the server is lost: a prepare may have taken effect. */
export const LOST = means('failed', 'failed', 'unknown', 'retry', 'retry');

/** The database has refused the work or the prepare, and holds nothing of it. */
export const REFUSED = means('failed', 'refused', 'refused', 'retry', 'retry');

/** As {@link LOST}; but a branch that is prepared stays so until an operator has removed the cause. */
export const OPERATOR = means('failed', 'failed', 'unknown', 'operator', 'operator');

/** A row of the table that a database has of its errors. */
export interface ErrorRow<Code extends string> {
  /** As the documentation of the database, or the operating system, calls it. */
  readonly name: string;
  readonly means: Meanings;
  readonly refusal?: { readonly code: Code; readonly reason: string };
  /** For `operator`: what removes the cause. */
  readonly remedy?: string;
}
