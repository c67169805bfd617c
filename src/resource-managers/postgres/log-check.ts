import type { PoolClient } from 'pg';
import { type CoordinatorRun, originOf } from '../../coordinator/index.js';
import { PostgresStartUpError } from './errors.js';

/**
 * Checks that the decision log of a coordinator is the one under which its name was used here before: whatever is prepared
 * and has no decision in it would be rolled back.
 *
 * @param isNew whether the run has done nothing here yet. Then nothing of its epoch, or of a later one, can be there.
 * @throws PostgresStartUpError (`DTC_POSTGRES_OTHER_LOG`)
 */
export async function checkLog(
  client: PoolClient,
  run: CoordinatorRun,
  participant: string,
  isNew: boolean,
): Promise<void> {
  const { rows: prepared } = await client.query<{ gid: string }>(
    `SELECT gid, prepared FROM pg_prepared_xacts WHERE database = current_database()
      AND split_part(gid, '/', 2) = $1 AND split_part(gid, '.', 1) = $2 ORDER BY prepared`,
    [participant, run.name],
  );
  const foreign = prepared.filter(({ gid }) => isOfOtherLog(transactionOf(gid), run));
  if (foreign.length > 0) {
    throw otherLog(
      participant,
      `branches are prepared in it under another decision log of the coordinator "${run.name}": ` +
        `${foreign.length}, the oldest of them ${foreign[0]!.gid}`,
      'Start the coordinator with that log, or under another name. If the log is lost, decide the branches by hand.',
    );
  }
  if (!isNew) return;
  const later = prepared.map(({ gid }) => gid).find((gid) => isOfLaterRun(gid, run));
  if (later !== undefined) {
    throw otherLog(
      participant,
      `the decision log of "${run.name}" is older than what was done in it: ${later} is of a later start`,
      'Start the coordinator with the latest log, or under another name.',
    );
  }
}

/** Whether a coordinator of that name made the id, with a log that is not that of the run. */
export function isOfOtherLog(transactionId: string, run: CoordinatorRun): boolean {
  const maker = originOf(transactionId);
  return maker?.name === run.name && maker.logId !== run.logId;
}

function isOfLaterRun(gid: string, run: CoordinatorRun): boolean {
  const maker = originOf(transactionOf(gid));
  return maker?.name === run.name && maker.logId === run.logId && maker.epoch >= run.epoch;
}

function transactionOf(gid: string): string {
  return gid.slice(0, gid.indexOf('/'));
}

function otherLog(participant: string, problem: string, mend: string): PostgresStartUpError {
  return new PostgresStartUpError('DTC_POSTGRES_OTHER_LOG', participant, problem, mend);
}
