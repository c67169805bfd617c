import type { Awaitable } from './awaitable.js';
import { InvalidOptionsError } from '../errors.js';
import { describeAnswer, messageOf } from '../gate/texts.js';
import type { Vote } from '../participant/participant.js';

/** The required methods of a GuardStore. */
const STORE_METHODS = ['get', 'insert', 'put'] as const;

/** @throws InvalidOptionsError when they cannot be used. */
export function checkGuardOptions(store: unknown, interrupted: unknown): void {
  const problems: string[] = [];
  try {
    const methods = (store ?? {}) as Readonly<Record<string, unknown>>;
    for (const method of STORE_METHODS) {
      const found = methods[method];
      if (typeof found !== 'function')
        problems.push(`${method} of the store is ${describeAnswer(found)}, not a method`);
    }
  } catch (error) {
    problems.push(`the store cannot be read: ${messageOf(error)}`);
  }
  if (interrupted !== 'report' && interrupted !== 'repeat') {
    problems.push('interrupted must be "report" or "repeat"');
  }
  if (problems.length > 0) throw new InvalidOptionsError('ParticipantGuard', problems);
}

/** The options of ParticipantGuard. @publicApi */
export interface ParticipantGuardOptions {
  /**
   * What the guard does with a commit or an undo that an earlier process started and did not finish, so that
   * its effect is unknown. `report` reports a hazard for an operator to resolve; the work is never done
   * twice. `repeat` runs the work again. Use it if the work may safely be done twice.
   *
   * @default 'report'
   */
  readonly interrupted?: 'report' | 'repeat';
}

/** The three steps of a branch, for ParticipantGuard.commitOnePhase. @publicApi */
export interface OnePhaseSteps {
  /** The participant's `prepare` work. */
  readonly prepare: () => Awaitable<Vote>;
  /** The participant's `commit` work. */
  readonly commit: () => Awaitable<void>;
  /** The participant's `rollback` work. */
  readonly rollback: () => Awaitable<void>;
}

export type Undo = () => Awaitable<void>;

/** The running work of a prepare. */
export interface WorkUnderWay {
  /** The undo that must follow it, because a rollback has overtaken it. */
  undo: Undo | undefined;
  /** Resolves when the undo is done. */
  readonly undone: {
    readonly promise: Promise<void>;
    readonly resolve: (value: void | Promise<void>) => void;
  };
}
