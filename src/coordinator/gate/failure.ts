import { types } from 'node:util';
import { HEURISTIC_KINDS, type HeuristicKind } from '../protocol/index.js';
import { MAX_CODE_LENGTH, messageOf, shortened } from './texts.js';

/** An error of user code, read once, as texts of limited length. */
export class Failure {
  readonly #isFailure = true;

  constructor(
    readonly message: string,
    readonly name: string | undefined,
    readonly code: string | undefined,
    /** The kind of end, if it is a heuristic report. */
    readonly heuristic: HeuristicKind | undefined,
    /** The error itself. Callers receive it. It may hold anything, so nothing here keeps it. */
    readonly thrown: unknown,
  ) {}

  /** Checking the mark runs no code of the value, even if it is a Proxy. */
  static is(value: unknown): value is Failure {
    return typeof value === 'object' && value !== null && #isFailure in value && value.#isFailure;
  }

  /** Whether it only reports that the work stopped because its signal was aborted. */
  get isCancellation(): boolean {
    return this.code === 'DTC_ABORTED' || this.name === 'AbortError';
  }
}

/** @returns the error, read once. It never throws, and an error that was read is not read again. */
export function failureOf(thrown: unknown): Failure {
  if (Failure.is(thrown)) return thrown;
  const code = textAt(thrown, 'code');
  return new Failure(
    messageOf(thrown),
    textAt(thrown, 'name'),
    code,
    // Recognised by its code, so that a report of a second copy of this package counts too.
    code === 'DTC_HEURISTIC' ? kindOf(thrown) : undefined,
    thrown,
  );
}

/** @returns whether it is an instance of the class; false for a value that cannot be checked. */
export function isInstanceOf<T>(value: unknown, type: abstract new (...args: never[]) => T): value is T {
  try {
    return value instanceof type;
  } catch {
    return false;
  }
}

/** @returns the stack of an error, if it has one that can be read. */
export function stackOf(thrown: unknown): string | undefined {
  return types.isNativeError(thrown) ? textAt(thrown, 'stack', MAX_STACK_LENGTH) : undefined;
}

const MAX_STACK_LENGTH = 4_000;

/** @returns the text in a field of an error. */
export function textAt(thrown: unknown, field: string, maxLength = MAX_CODE_LENGTH): string | undefined {
  try {
    if ((typeof thrown !== 'object' && typeof thrown !== 'function') || thrown === null) return undefined;
    const text = (thrown as unknown as Readonly<Record<string, unknown>>)[field];
    return typeof text === 'string' && text !== '' ? shortened(text, maxLength) : undefined;
  } catch {
    return undefined;
  }
}

function kindOf(thrown: unknown): HeuristicKind | undefined {
  const kind = textAt(thrown, 'kind');
  return HEURISTIC_KINDS.find((known) => known === kind);
}
