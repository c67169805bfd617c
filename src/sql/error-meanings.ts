import { type AbortVote, refuse } from '../coordinator/participant/participant.js';
import { type ErrorRow, LOST, type Meaning, type Phase } from './meaning.js';

/** How one database tells its errors apart. */
export interface ErrorSource<Code extends string> {
  /** @returns the row of an error, if its table has one. An error without a row proves nothing. */
  readonly rowOf: (error: unknown) => ErrorRow<Code> | undefined;
  /** @returns the code or number that the database, or the operating system, has given an error. */
  readonly codeOf: (error: unknown) => string | number | undefined;
  /** @returns the text of an error that a procedure of the database has raised: it is meant to be read. */
  readonly raisedText: (error: unknown) => string | undefined;
  /**
   * @returns the details that the reason of a refusal names besides its code, such as a constraint.
   * @default nothing
   */
  readonly detailOf?: (error: unknown) => string | undefined;
  /**
   * Refusals after which the same transaction may succeed, besides those of every database: the database
   * lacked a resource.
   */
  readonly overloads?: readonly Code[];
}

/** The meaning of the errors of one database for its branches. */
export interface ErrorMeanings {
  /**
   * @returns the meaning of an error for a branch. Its code decides, never its text, which depends on the
   * language.
   */
  readonly meaningOf: (error: unknown, phase: Phase) => Meaning;
  /** @returns the vote for an error for which `meaningOf` returns `refused`. */
  readonly refusalOf: (error: unknown) => AbortVote;
  /** @returns the remedy for the cause of an error, or undefined if only time helps. */
  readonly remedyOf: (error: unknown) => string | undefined;
  /**
   * Finds what the database said in an error of the work: an ORM may put an error of its own around it.
   *
   * @returns the error itself if it has a code, else the first of its causes that has one, else the error
   * itself.
   */
  readonly databaseErrorIn: (error: unknown) => unknown;
  /** Whether the same transaction may succeed if it is tried again. @param code of a refusal. */
  readonly isTemporary: (code: string | undefined) => boolean;
}

/** Refusals of a branch whose only problem was a conflict with another transaction. */
const CONFLICTS = ['SERIALIZATION_FAILURE', 'DEADLOCK', 'LOCK_TIMEOUT'] as const;

/** Refusals after which the same transaction may succeed if it is tried again. */
const TEMPORARY = [...CONFLICTS, 'TIMEOUT', 'DISK_FULL', 'NO_CONNECTION'] as const;

/** How many errors an ORM may put around the one of the database. */
const DEEPEST_CAUSE = 5;

/** Reads the errors of one database by its table. */
export function errorMeanings<Code extends string>({
  rowOf,
  codeOf,
  raisedText,
  detailOf,
  overloads = [],
}: ErrorSource<Code>): ErrorMeanings {
  const conflicts: ReadonlySet<string> = new Set(CONFLICTS);
  const temporary: ReadonlySet<string> = new Set([...TEMPORARY, ...overloads]);

  const refusalOf = (error: unknown): AbortVote => {
    const refusal = rowOf(error)?.refusal;
    if (refusal === undefined) throw new TypeError('No refusal', { cause: error });
    const { code, reason } = refusal;
    const raised = raisedText(error);
    const detail = detailOf?.(error);
    const said = raised ? `: ${raised}` : '';
    const named = detail ? `${codeOf(error)}, ${detail}` : codeOf(error);
    return refuse(code, `${reason}${said} (${named})`, {
      conflict: conflicts.has(code),
      overloaded: overloads.includes(code),
      ...(temporary.has(code) && { temporary: true }),
    });
  };

  const databaseErrorIn = (error: unknown): unknown => {
    let candidate = error;
    for (let depth = 0; depth <= DEEPEST_CAUSE; depth++) {
      if (codeOf(candidate) !== undefined) return candidate;
      candidate = (candidate as { cause?: unknown } | null | undefined)?.cause;
    }
    return error;
  };

  return {
    meaningOf: (error, phase) => (rowOf(error)?.means ?? LOST)[phase],
    refusalOf,
    remedyOf: (error) => rowOf(error)?.remedy,
    databaseErrorIn,
    isTemporary: (code) => code !== undefined && temporary.has(code),
  };
}
