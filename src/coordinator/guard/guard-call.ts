import { messageOf } from '../gate/texts.js';
import { type Branch, branchKey } from '../participant/participant.js';
import { GuardCallError } from './guard-errors.js';
import type { OnePhaseSteps } from './guard-options.js';

/** The run of a coordinator that a branch names. Each field is read once. */
export interface GuardedRun {
  readonly name: string;
  readonly logId: string;
  readonly epoch: number;
  readonly token: string;
  /** The branch's `run`, which can say whether a transaction is settled. */
  readonly source: object;
}

/** The fields of a branch that a guard uses. Each is read once. */
export interface GuardCall {
  readonly key: string;
  /** Whether the call comes from a one-phase commit. Prepare delivers no decision. */
  readonly isOnePhase: boolean;
  /** Undefined for a branch that a program made itself, which needs no run. */
  readonly run: GuardedRun | undefined;
}

/**
 * @param steps the functions that the call takes, by name.
 * @returns the error when the branch cannot be read, or a step is not a function.
 */
export function readCall(
  branch: Branch,
  steps: Readonly<Record<string, unknown>>,
): GuardCall | GuardCallError {
  for (const [name, step] of Object.entries(steps)) {
    if (typeof step !== 'function') return new GuardCallError(`${name} must be a function`);
  }
  try {
    const { attempt, run } = branch;
    return { key: branchKey(branch), isOnePhase: attempt > 0, run: runIn(run) };
  } catch (error) {
    return new GuardCallError(messageOf(error));
  }
}

/** @returns the steps of a one-phase commit, each read once. A step that cannot be read is undefined. */
export function readSteps(steps: OnePhaseSteps): OnePhaseSteps & Readonly<Record<string, unknown>> {
  try {
    const { prepare, commit, rollback } = steps;
    return { prepare, commit, rollback };
  } catch {
    const none = undefined as unknown as () => never;
    return { prepare: none, commit: none, rollback: none };
  }
}

/** @param value a value of the branch, which may not have its declared type. */
function runIn(value: unknown): GuardedRun | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { name, logId, epoch, token } = value as Readonly<Record<string, unknown>>;
  if (typeof logId !== 'string' || typeof token !== 'string' || !Number.isSafeInteger(epoch)) {
    return undefined;
  }
  return {
    name: typeof name === 'string' ? name : '',
    logId,
    epoch: epoch as number,
    token,
    source: value,
  };
}
