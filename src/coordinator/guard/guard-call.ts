import { messageOf } from '../gate/texts.js';
import { type Branch, branchKey } from '../participant/participant.js';
import { GuardCallError } from './guard-errors.js';
import type { OnePhaseSteps } from './guard-options.js';

/** A run of a coordinator as a branch names it, each field read once. */
export interface GuardedRun {
  readonly name: string;
  readonly logId: string;
  readonly epoch: number;
  readonly token: string;
  /** What the branch holds, which can be asked whether a transaction is settled. */
  readonly source: object;
}

/** What a guard needs of a branch, each field read once. */
export interface GuardCall {
  readonly key: string;
  /** Whether it comes from a one-phase commit: in prepare no decision is delivered. */
  readonly isOnePhase: boolean;
  /** Undefined for a branch that was made by hand, which need not have a run. */
  readonly run: GuardedRun | undefined;
}

/**
 * @param steps the names of the steps that the call takes, each with what was given for it.
 * @returns the error when the branch cannot be read, or a step is no function.
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

/** @returns the steps of a one-phase commit, each read once. Those that cannot be read are none. */
export function readSteps(steps: OnePhaseSteps): OnePhaseSteps & Readonly<Record<string, unknown>> {
  try {
    const { prepare, commit, rollback } = steps;
    return { prepare, commit, rollback };
  } catch {
    const none = undefined as unknown as () => never;
    return { prepare: none, commit: none, rollback: none };
  }
}

/** @param value what the branch says; it is not trusted to be what the type promises. */
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
