import type { CoordinatorRun } from '../coordinator/participant/participant.js';
import type { RunConflict } from './claim.js';

/** Why a run is refused, and what to do. */
export interface RefusalText {
  readonly problem: string;
  readonly remedy: string;
}

/** @returns the text for a run whose log does not contain the fact in `seen`. */
export function copiedLog(run: CoordinatorRun, seen: string): RefusalText {
  return {
    problem:
      `${seen}, but the decision log ${run.logId} of "${run.name}", at its start ${run.epoch}, does not know of it: this log ` +
      'is a copy, or was restored from a backup, and lacks later decisions',
    remedy:
      'Start the coordinator with the latest log. If that is lost, decide by hand all branches prepared under this name, in every ' +
      'database, and start on an empty folder: a new log has a new id.',
  };
}

/** @returns the fact that a copied log does not know of. */
export function seenOf({ epoch, gid }: Extract<RunConflict, { kind: 'copied-log' }>): string {
  return gid === undefined
    ? `start ${epoch} of the log has worked in it`
    : `start ${epoch} of the log has prepared ${gid} in it`;
}

/**
 * @returns the text for a run under whose name another log has prepared branches.
 * @param which of them `oldest` is.
 */
export function otherLog(
  run: CoordinatorRun,
  { branches, oldest }: Extract<RunConflict, { kind: 'other-log' }>,
  which: 'the oldest' | 'one',
): RefusalText {
  return {
    problem:
      `branches are prepared in it under another decision log of the coordinator "${run.name}": ${branches}, ${which} of them ` +
      `${oldest} (this log is ${run.logId})`,
    remedy:
      'Start the coordinator with that log, or under another name. If the log is lost, decide the branches by hand.',
  };
}
