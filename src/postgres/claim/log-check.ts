import type { CoordinatorRun, IsOwnRun } from '../../coordinator/participant/participant.js';
import { type RunConflict, letIn } from '../../sql/claim.js';
import { copiedLog, otherLog, seenOf } from '../../sql/refusal-texts.js';
import { PostgresStartUpError } from '../errors.js';
import { REPLICATED_WRITE } from '../connection/replication.js';
import { COORDINATOR_IN_GID, PARTICIPANT_IN_GID } from '../gid.js';
import type { RunTable } from './run-table.js';
import type { ClaimSession } from './session.js';

/**
 * Accepts a run of a coordinator in a database, if its decision log is the right one. The lock on the name is
 * held meanwhile.
 *
 * @throws PostgresStartUpError (`DTC_POSTGRES_OTHER_LOG`, `DTC_LOG_COPIED`, and those of the table of the
 * runs); PostgresBranchError (`DTC_POSTGRES_NOT_REPLICATED`) when a failover may lose that the run was
 * accepted.
 */
export async function checkLog(
  session: ClaimSession,
  run: CoordinatorRun,
  isOwnRun: IsOwnRun | undefined,
  participant: string,
  runs: RunTable,
  signal: AbortSignal,
): Promise<void> {
  await runs.find(session, signal);
  const conflict = await letIn(run, isOwnRun, {
    latest: () => runs.latest(session, run, signal),
    prepared: () => preparedUnder(session, run, participant, signal),
    register: () => runs.register(session, run, signal),
  });
  if (conflict !== undefined) throw refusal(conflict, participant, run);
  // The row of the run may be one that an earlier attempt has left, whose wait for a standby was interrupted.
  await session.query(signal, REPLICATED_WRITE);
}

/**
 * @returns the participant's branches that are prepared under the name of the coordinator, the oldest first.
 */
async function preparedUnder(
  session: ClaimSession,
  { name }: CoordinatorRun,
  participant: string,
  signal: AbortSignal,
): Promise<string[]> {
  const rows = await session.query<{ gid: string }>(
    signal,
    `SELECT gid FROM pg_prepared_xacts WHERE database = current_database()
      AND ${PARTICIPANT_IN_GID} = $1 AND ${COORDINATOR_IN_GID} = $2 ORDER BY prepared`,
    [participant, name],
  );
  return rows.map(({ gid }) => gid);
}

function refusal(conflict: RunConflict, participant: string, run: CoordinatorRun): PostgresStartUpError {
  if (conflict.kind === 'copied-log') return copied(participant, run, seenOf(conflict));
  const { problem, remedy } = otherLog(run, conflict, 'the oldest');
  return new PostgresStartUpError('DTC_POSTGRES_OTHER_LOG', participant, problem, remedy);
}

/** The log of the run does not contain the fact in `seen`. */
export function copied(participant: string, run: CoordinatorRun, seen: string): PostgresStartUpError {
  const { problem, remedy } = copiedLog(run, seen);
  return new PostgresStartUpError('DTC_LOG_COPIED', participant, problem, remedy);
}
