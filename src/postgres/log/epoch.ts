import { FencedError } from '../../coordinator/errors.js';
import {
  LogBehindError,
  LogStartsUsedUpError,
  UnknownLogFormatError,
} from '../../coordinator/log/log-errors.js';
import { newLogId, newRunToken } from '../../coordinator/log/log-identity.js';
import { PostgresLogError } from './errors.js';
import { FORMATS } from './records.js';
import type { LogSession } from './session.js';
import { type LogServer, TIMELINE } from './tables.js';

/** The most epochs that fit into a transaction id. */
const MAX_EPOCH = 36 ** 4 - 1;
/**
 * The gap in the numbers when the newest epoch was taken on another timeline. A server that took over may
 * have lost the last epochs, and no number may be given out twice.
 */
const LEFT_OUT = 100;
/**
 * How many epochs a start tries to take. It tries another one if it does not know whether it got the one
 * before.
 */
const MAX_ATTEMPTS = 3;

/** An epoch of this process, with everything that the process knows of it. */
export class OwnEpoch {
  /** Changes with each new connection. */
  incarnation = 1;
  /**
   * The mark of the epoch at the last write that the log has acknowledged. The mark counts all writes of the
   * epoch that add a record, acknowledged or not. A server that has lost an acknowledged write has a lower
   * mark.
   */
  acknowledged = 0;
  /** The writes that were sent and not answered. */
  readonly unanswered = new Set<number>();
  /** The format in which records are written. */
  format: number;
  /** Why this epoch can write nothing more. */
  ended: FencedError | LogBehindError | undefined;

  constructor(
    readonly coordinator: string,
    readonly log: number,
    readonly logId: string,
    readonly epoch: number,
    readonly token: string,
    format: number = FORMATS.first,
  ) {
    this.format = format;
  }

  /** The log has acknowledged a write that raised the mark to this value. */
  hasMark(mark: number): void {
    this.acknowledged = Math.max(this.acknowledged, mark);
  }
}

interface TakenRow {
  readonly [column: string]: string;
  readonly log: string;
  readonly log_id: string;
  readonly last_epoch: string;
  readonly format: string;
}

/**
 * Takes an epoch with one atomic statement that locks the row of the log.
 *
 * @throws the error that stops the start.
 */
export async function takeEpoch(
  session: LogSession,
  schema: string,
  coordinator: string,
  server: Pick<LogServer, 'systemIdentifier' | 'databaseOid'>,
): Promise<OwnEpoch> {
  const { systemIdentifier, databaseOid } = server;
  await session.query(
    `INSERT INTO ${schema}.logs (coordinator, log_id, format, last_epoch, last_revision, system_identifier, database_oid)
     VALUES ($1, $2, $3, 0, 0, $4, $5) ON CONFLICT (coordinator) DO NOTHING`,
    [coordinator, newLogId(), FORMATS.first, systemIdentifier, databaseOid],
  );
  const token = newRunToken();
  const [row] = await session.query<TakenRow>(
    `WITH taken AS (
       UPDATE ${schema}.logs AS logs SET last_epoch = last_epoch + CASE WHEN EXISTS (
         SELECT FROM ${schema}.epochs AS newest WHERE newest.log = logs.log AND newest.epoch = logs.last_epoch
           AND newest.taken_on <> ${TIMELINE}) THEN ${LEFT_OUT + 1} ELSE 1 END
       WHERE coordinator = $1 AND system_identifier = $2 AND database_oid = $3 AND format BETWEEN $4 AND $5
         AND last_epoch < ${MAX_EPOCH - LEFT_OUT}
       RETURNING log, log_id, last_epoch, format),
     epoch AS (
       INSERT INTO ${schema}.epochs (log, epoch, token, incarnation, high_water, purged, taken_on, checked_on,
         first_format, last_format, settled)
       SELECT log, last_epoch, $6, 1, 0, 0, ${TIMELINE}, ${TIMELINE}, $4, $5, false FROM taken),
     member AS (
       INSERT INTO ${schema}.members (log, epoch, member, draining, renewed_at)
       SELECT log, last_epoch, '', false, clock_timestamp() FROM taken)
     SELECT log::text, log_id, last_epoch::text, format::text FROM taken`,
    [coordinator, systemIdentifier, databaseOid, FORMATS.first, FORMATS.last, token],
  );
  if (row === undefined) throw await reasonFor(session, schema, coordinator, server);
  const { log_id: logId } = row;
  const [log, epoch, format] = [row.log, row.last_epoch, row.format].map(Number) as [number, number, number];
  return new OwnEpoch(coordinator, log, logId, epoch, token, format);
}

/** As {@link takeEpoch}, repeated until the log is known to have given out the epoch. */
export async function takeKnownEpoch(
  run: <T>(task: (session: LogSession) => Promise<T>) => Promise<T>,
  take: (session: LogSession) => Promise<OwnEpoch>,
): Promise<OwnEpoch> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await run(take);
    } catch (error) {
      if (attempt === MAX_ATTEMPTS || !(error instanceof Error) || error.name !== 'UnknownResultError')
        throw error;
    }
  }
}

/** @returns why no epoch was taken. */
async function reasonFor(
  session: LogSession,
  schema: string,
  coordinator: string,
  { systemIdentifier, databaseOid }: Pick<LogServer, 'systemIdentifier' | 'databaseOid'>,
): Promise<Error> {
  const [row] = await session.query<{
    format: string;
    last_epoch: string;
    system_identifier: string;
    database_oid: string;
  }>(
    `SELECT format::text, last_epoch::text, system_identifier, database_oid FROM ${schema}.logs WHERE coordinator = $1`,
    [coordinator],
  );
  if (row === undefined) return new Error(`The log of "${coordinator}" was removed while it was opened.`);
  if (row.system_identifier !== systemIdentifier || row.database_oid !== databaseOid) {
    return new PostgresLogError(
      'DTC_LOG_MOVED',
      `the log of "${coordinator}" was made in another database or on another server, so this may be a copy of it`,
      'If it is a copy, empty it and settle what it has left. If the log was moved, and the original is never used again, run ' +
        `this: UPDATE ${schema}.logs SET system_identifier = '${systemIdentifier}', database_oid = '${databaseOid}' ` +
        `WHERE coordinator = '${coordinator}';`,
    );
  }
  const format = Number(row.format);
  if (format < FORMATS.first || format > FORMATS.last) return new UnknownLogFormatError(format, FORMATS.last);
  return new LogStartsUsedUpError(MAX_EPOCH);
}

interface IncarnationRow {
  readonly [column: string]: string | null;
  readonly incarnation: string;
  readonly fenced_by: string | null;
  readonly high_water: string;
}

/** Stands in the column of the timeline when the log has lost records that it had acknowledged. */
export const BEHIND = 'behind';

/**
 * Takes a new incarnation: from then on no statement of an earlier connection has an effect. It also compares
 * the mark of the epoch. If the mark is too low, the epoch ends, and abort is not presumed for it any more.
 * On a new timeline the epoch ends as well, unless only synchronous standbys take over. If the epoch can
 * write nothing more, `ended` says why.
 */
export async function takeIncarnation(
  session: LogSession,
  schema: string,
  own: OwnEpoch,
  synchronousStandbys: boolean,
): Promise<void> {
  const [row] = await session.query<IncarnationRow>(
    `UPDATE ${schema}.epochs SET incarnation = incarnation + 1,
       checked_on = CASE WHEN high_water >= $4 AND checked_on <> '${BEHIND}' THEN ${TIMELINE} ELSE '${BEHIND}' END,
       fenced_by = CASE WHEN fenced_by IS NULL AND (high_water < $4 OR NOT $5 AND taken_on <> ${TIMELINE})
         THEN epoch ELSE fenced_by END
     WHERE log = $1 AND epoch = $2 AND token = $3
     RETURNING incarnation::text, fenced_by::text, high_water::text`,
    [own.log, own.epoch, own.token, own.acknowledged, synchronousStandbys],
  );
  const found = Number(row?.high_water ?? 0);
  if (row === undefined || found < own.acknowledged) {
    own.ended = new LogBehindError(own.epoch, own.acknowledged, found);
    return;
  }
  own.incarnation = Number(row.incarnation);
  // The mark that was found is replicated together with this statement.
  own.hasMark(found);
  if (row.fenced_by !== null) own.ended ??= new FencedError(own.coordinator, own.epoch);
}

/**
 * The SQL returns a row only if the epoch can still write. It locks the row until the end of the statement.
 */
export function currentEpoch(schema: string, set = 'incarnation = incarnation'): string {
  return `UPDATE ${schema}.epochs SET ${set}
    WHERE log = $1 AND epoch = $2 AND incarnation = $3 AND fenced_by IS NULL RETURNING high_water`;
}

/** As {@link currentEpoch}, for a write that adds a record: it raises the mark. */
export function countedEpoch(schema: string): string {
  return currentEpoch(schema, 'high_water = high_water + 1');
}
