import { MAX_CODE_LENGTH, describeAnswer, shortened } from './texts.js';

/** What marks an answer that was read. The look at the mark runs no code of the value, also when it is a Proxy. */
abstract class Read {
  readonly #isRead = true;

  static is(value: object): boolean {
    return #isRead in value && value.#isRead;
  }
}

/** A refusal that a participant has answered with. */
export class Refused extends Read {
  constructor(
    readonly code: string | undefined,
    readonly reason: string,
    /** Whether it says that it met another transaction. */
    readonly conflict = false,
    /** Whether it says that its server is short of room. */
    readonly overloaded = false,
    /** Whether it says that the same request may succeed later. */
    readonly temporary = conflict || overloaded,
  ) {
    super();
  }
}

/** An answer that means nothing where it was given. What it holds is not kept. */
export class Unintelligible extends Read {
  constructor(readonly description: string) {
    super();
  }
}

/** What a participant has answered to prepare, or to a one-phase commit. */
export type Answer = 'commit' | 'read-only' | Refused | Unintelligible;

const NO_REASON = 'refused without a reason';

/** @returns the answer, read once. It never throws, and what was read already is not read again. */
export function answerOf(value: unknown): Answer {
  if (value === 'commit' || value === 'read-only') return value;
  if (value === 'abort') return new Refused(undefined, NO_REASON);
  if (typeof value !== 'object' || value === null) return new Unintelligible(describeAnswer(value));
  if (Read.is(value)) return value as Answer;
  return refusalIn(value) ?? new Unintelligible(describeAnswer(value));
}

/** Each field is read once, so that it cannot say one thing now and another later. What cannot be read is no refusal. */
function refusalIn(value: object): Refused | undefined {
  try {
    const { vote, code, reason, conflict, overloaded, temporary } = value as Readonly<
      Record<string, unknown>
    >;
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

/** What a participant says is not trusted to be what the types promise. */
function textOf(value: unknown, maxLength?: number): string | undefined {
  return typeof value === 'string' && value !== '' ? shortened(value, maxLength) : undefined;
}
