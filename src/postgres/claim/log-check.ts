import { type CoordinatorRun, type IsOwnRun, isLaterRunOf, originOf } from '../../coordinator/index.js';
import type { ClaimSession } from './session.js';
import { PostgresStartUpError } from '../errors.js';
import type { RunTable } from './run-table.js';

/**
 * Lets a run of a coordinator into a database: checks that its decision log is the one under which the name was used here
 * before, and neither a copy of it nor an older state. What is prepared and has no decision in its log it would roll back,
 * and it would make ids a second time. The lock on the name is held meanwhile.
 *
 * @throws PostgresStartUpError (`DTC_POSTGRES_OTHER_LOG`, `DTC_LOG_COPIED`, and of the table of the runs).
 */
export async function letIn(
  session: ClaimSession,
  run: CoordinatorRun,
  isOwnRun: IsOwnRun | undefined,
  participant: string,
  runs: RunTable,
  signal: AbortSignal,
): Promise<void> {
  await runs.find(session, signal);
  const latest = await runs.latest(session, run, signal);
  const isIn = latest?.epoch === run.epoch && latest.token === run.token;
  if (latest !== undefined && !isIn && !(await isLaterRunOf(run, latest, isOwnRun))) {
    throw copied(participant, run, `start ${latest.epoch} of the log has worked in it`);
  }
  const prepared = await preparedUnder(session, run, participant, signal);
  const foreign = prepared.filter(({ logId }) => logId !== run.logId);
  if (foreign[0] !== undefined) throw otherLog(participant, run, foreign.length, foreign[0].gid);
  const later = prepared.find(({ epoch }) => epoch > run.epoch || (epoch === run.epoch && !isIn));
  if (later !== undefined) {
    throw copied(participant, run, `start ${later.epoch} of the log has prepared ${later.gid} in it`);
  }
  if (!isIn) await runs.register(session, run, signal);
}

interface Prepared {
  readonly gid: string;
  readonly logId: string;
  readonly epoch: number;
}

/** @returns the branches of the participant that are prepared under the name of the coordinator, the oldest first. */
async function preparedUnder(
  session: ClaimSession,
  { name }: CoordinatorRun,
  participant: string,
  signal: AbortSignal,
): Promise<Prepared[]> {
  const rows = await session.query<{ gid: string }>(
    signal,
    `SELECT gid FROM pg_prepared_xacts WHERE database = current_database()
      AND split_part(gid, '/', 2) = $1 AND split_part(gid, '.', 1) = $2 ORDER BY prepared`,
    [participant, name],
  );
  return rows.flatMap(({ gid }) => {
    const origin = originOf(gid.slice(0, gid.indexOf('/')));
    return origin === undefined ? [] : [{ gid, logId: origin.logId, epoch: origin.epoch }];
  });
}

function otherLog(
  participant: string,
  run: CoordinatorRun,
  count: number,
  oldest: string,
): PostgresStartUpError {
  return new PostgresStartUpError(
    'DTC_POSTGRES_OTHER_LOG',
    participant,
    `branches are prepared in it under another decision log of the coordinator "${run.name}": ${count}, the oldest of them ` +
      `${oldest} (this log is ${run.logId})`,
    'Start the coordinator with that log, or under another name. If the log is lost, decide the branches by hand.',
  );
}

function copied(participant: string, run: CoordinatorRun, seen: string): PostgresStartUpError {
  return new PostgresStartUpError(
    'DTC_LOG_COPIED',
    participant,
    `${seen}, and the decision log ${run.logId} of "${run.name}", at its start ${run.epoch}, does not know of it: this log ` +
      'is a copy, or was restored from a backup, and lacks what was decided since',
    'Start the coordinator with the latest log. If that is lost, decide by hand what is prepared under this name, in every ' +
      'database, and start on an empty folder: a new log has a new id.',
  );
}
