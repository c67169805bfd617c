import { InvalidOptionsError } from '../errors.js';
import { describeAnswer, messageOf } from '../gate/texts.js';
import type { Vote } from '../participant/participant.js';

export type Awaitable<T> = T | PromiseLike<T>;

/** The methods of a GuardStore that must be there. */
const STORE_METHODS = ['get', 'insert', 'put'] as const;

/** @throws InvalidOptionsError when they cannot be used; nothing is kept then. */
export function checkGuardOptions(store: unknown, interrupted: unknown): void {
  const problems: string[] = [];
  try {
    const methods = (store ?? {}) as Readonly<Record<string, unknown>>;
    for (const method of STORE_METHODS) {
      const found = methods[method];
      if (typeof found !== 'function')
        problems.push(`${method} of the store is ${describeAnswer(found)}, and no method`);
    }
  } catch (error) {
    problems.push(`the store cannot be read: ${messageOf(error)}`);
  }
  if (interrupted !== 'report' && interrupted !== 'repeat') {
    problems.push('interrupted must be "report" or "repeat"');
  }
  if (problems.length > 0) throw new InvalidOptionsError('ParticipantGuard', problems);
}

/** What a ParticipantGuard takes besides its store. @publicApi */
export interface ParticipantGuardOptions {
  /**
   * What to do with the work of a commit, or an undo, that a process has left behind: it was begun, and whether it was
   * done is not known. `report` reports a hazard, and an operator finds out; the work is never done twice. `repeat` runs
   * it again, for work that may be done twice as well as once.
   *
   * @default 'report'
   */
  readonly interrupted?: 'report' | 'repeat';
}

/** The three steps of a branch, for ParticipantGuard.commitOnePhase. @publicApi */
export interface OnePhaseSteps {
  /** What `prepare` of the participant gives to the guard. */
  readonly prepare: () => Awaitable<Vote>;
  /** What `commit` of the participant gives to the guard. */
  readonly commit: () => Awaitable<void>;
  /** What `rollback` of the participant gives to the guard. */
  readonly rollback: () => Awaitable<void>;
}

export type Undo = () => Awaitable<void>;

/** The work of a prepare that goes on. */
export interface WorkUnderWay {
  /** What is to be done when it ends, since a rollback has overtaken it. */
  undo: Undo | undefined;
  /** Resolves when that is done. */
  readonly undone: {
    readonly promise: Promise<void>;
    readonly resolve: (value: void | Promise<void>) => void;
  };
}
