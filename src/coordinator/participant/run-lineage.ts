import type { CoordinatorRun, IsOwnRun } from './participant.js';

/**
 * Whether a run may follow the latest run of the same log that a participant has let in: it is a later start, and its log
 * knows the latest one. A copy of the log, and one that was restored from a backup, has other tokens for the starts since;
 * to start it again and again does not change that.
 *
 * @param latest what the participant has kept of the latest run that it let in.
 * @param isOwnRun asks the log of the run. Left out, only the numbers of the starts are compared, which does not find a copy
 * that was started more often.
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
