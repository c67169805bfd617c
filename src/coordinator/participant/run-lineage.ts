import type { CoordinatorRun, IsOwnRun } from './participant.js';

/**
 * Whether a run may work with a participant that has accepted other runs of the same log. The log of the run
 * must know the latest of them. A copied or restored log has other tokens for the starts since then, however
 * often it is started.
 *
 * The run must also be a later start, unless its log is shared: of such a log several runs live at the same
 * time, and an earlier one may come after a later one. The participant goes on to keep the run with the
 * highest epoch.
 *
 * @param latest the participant's record of the latest run that it accepted.
 * @param isOwnRun asks the log of the run. If it is left out, only the numbers of the starts are compared. A
 * copy that was started more often is then not found.
 * @publicApi
 */
export async function isLaterRunOf(
  run: Pick<CoordinatorRun, 'epoch' | 'isShared'>,
  latest: Pick<CoordinatorRun, 'epoch' | 'token'>,
  isOwnRun: IsOwnRun | undefined,
): Promise<boolean> {
  if (latest.epoch === run.epoch || (latest.epoch > run.epoch && run.isShared !== true)) return false;
  return isOwnRun === undefined || (await isOwnRun(latest.epoch, latest.token));
}
