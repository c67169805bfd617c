import { describeValidFor, isValidFor } from './expiring-vote.js';
import { MAX_CODE_LENGTH, describeAnswer, shortened } from './texts.js';

/**
 * The mark of an answer that was read. Checking the mark runs no code of the value, even if it is a Proxy.
 */
abstract class Read {
  readonly #isRead = true;

  static is(value: object): boolean {
    return #isRead in value && value.#isRead;
  }
}

/** The refusal in a participant's answer. */
export class Refused extends Read {
  constructor(
    readonly code: string | undefined,
    readonly reason: string,
    /** Whether it reports a conflict with another transaction. */
    readonly conflict = false,
    /** Whether it reports that its server is short of room. */
    readonly overloaded = false,
    /** Whether it says that the same request may succeed later. */
    readonly temporary = conflict || overloaded,
  ) {
    super();
  }
}

/** A vote for commit that expires. */
export class Expiring extends Read {
  constructor(
    /** In milliseconds from the call. */
    readonly validForMs: number,
  ) {
    super();
  }
}

/** An answer that is not valid for its call. Its content is not kept. */
export class Unintelligible extends Read {
  constructor(readonly description: string) {
    super();
  }
}

/** A participant's answer to prepare, or to a one-phase commit. */
export type Answer = 'commit' | 'read-only' | Expiring | Refused | Unintelligible;

const NO_REASON = 'refused without a reason';

/** @returns the answer, read once. It never throws, and an answer that was read is not read again. */
export function answerOf(value: unknown): Answer {
  if (value === 'commit' || value === 'read-only') return value;
  if (value === 'abort') return new Refused(undefined, NO_REASON);
  if (typeof value !== 'object' || value === null) return new Unintelligible(describeAnswer(value));
  if (Read.is(value)) return value as Answer;
  return voteIn(value) ?? new Unintelligible(describeAnswer(value));
}

/** @returns a description of an answer to a one-phase commit that is neither commit nor abort. */
export function describeUndecided(answer: Exclude<Answer, 'commit' | Refused>): string {
  if (answer === 'read-only') return 'a string';
  return answer instanceof Expiring ? 'a vote that expires' : answer.description;
}

/**
 * Each field is read once, so that it cannot change its value later. A value that cannot be read is not a
 * vote.
 */
function voteIn(value: object): Expiring | Refused | Unintelligible | undefined {
  try {
    const { vote, code, reason, conflict, overloaded, temporary, validForMs } = value as Readonly<
      Record<string, unknown>
    >;
    if (vote === 'commit')
      return isValidFor(validForMs)
        ? new Expiring(validForMs)
        : new Unintelligible(describeValidFor(validForMs));
    if (vote !== 'abort') return undefined;
    return new Refused(
      textOf(code, MAX_CODE_LENGTH),
      textOf(reason) ?? NO_REASON,
      conflict === true,
      overloaded === true,
      typeof temporary === 'boolean' ? temporary : undefined,
    );
  } catch {
    return undefined;
  }
}

/** The value of a participant may not have its declared type. */
function textOf(value: unknown, maxLength?: number): string | undefined {
  return typeof value === 'string' && value !== '' ? shortened(value, maxLength) : undefined;
}
