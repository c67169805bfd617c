/**
 * The steps in which a database may answer with an error. `begin`: the transaction is opened and its guard
 * row written. `work`: the user's statements. `prepare`: it is prepared, or committed if the branch commits
 * in one phase. `commit`, `rollback`: the prepared branch is ended, or its tombstone written.
 */
export const PHASES = ['begin', 'work', 'prepare', 'commit', 'rollback'] as const;
export type Phase = (typeof PHASES)[number];

/**
 * The meaning of an error for the branch.
 * - `exists`: its guard row already exists, and tells how the branch ended.
 * - `held`: another session holds its guard row: the branch may already be prepared.
 * - `refused`: nothing is held, and this is proven. A vote of abort, with its reason.
 * - `failed`: the transaction is no longer open, and this call has not prepared it; but it is not a refusal.
 * - `unknown`: the effect of the call is not known. Never a proof of no.
 * - `not-found`: no such prepared transaction. The guard row tells whether that is right.
 * - `retry`: the same call will succeed later.
 * - `operator`: the same call will succeed once an operator has removed the cause.
 */
export type Meaning =
  'exists' | 'held' | 'refused' | 'failed' | 'unknown' | 'not-found' | 'retry' | 'operator';

/** The meaning of one error in each phase. */
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

/** As {@link LOST}; but a prepared branch stays prepared until an operator has removed the cause. */
export const OPERATOR = means('failed', 'failed', 'unknown', 'operator', 'operator');

/** A row of a database's table of errors. */
export interface ErrorRow<Code extends string> {
  /** The name in the documentation of the database or the operating system. */
  readonly name: string;
  readonly means: Meanings;
  readonly refusal?: { readonly code: Code; readonly reason: string };
  /** For `operator`: the remedy. */
  readonly remedy?: string;
}

/** @returns the row of an error by which the database refuses the work or the prepare. */
export function refusedAs<Code extends string>(name: string, code: Code, reason: string): ErrorRow<Code> {
  return { name, means: REFUSED, refusal: { code, reason } };
}
