import type { CoordinatorRun, IsOwnRun } from './participant.js';

/**
 * Whether a run may follow the latest run of the same log that a participant has accepted: it must be a later
 * start, and its log must know the latest run. A copied or restored log has other tokens for the starts since
 * then, however often it is started.
 *
 * @param latest the participant's record of the latest run that it accepted.
 * @param isOwnRun asks the log of the run. If it is left out, only the numbers of the starts are compared. A
 * copy that was started more often is then not found.
 * @publicApi
 */
export async function isLaterRunOf(
  run: Pick<CoordinatorRun, 'epoch'>,
  latest: Pick<CoordinatorRun, 'epoch' | 'token'>,
  isOwnRun: IsOwnRun | undefined,
): Promise<boolean> {
  if (latest.epoch >= run.epoch) return false;
  return isOwnRun === undefined || (await isOwnRun(latest.epoch, latest.token));
}
