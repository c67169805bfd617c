import { type OwnEpoch, currentEpoch } from './epoch.js';
import type { LogSession } from './session.js';
import type { LogWriter } from './writer.js';

type Row = Record<string, string | null>;

/** The most outcomes that one statement reads, and the most statements of one pass. */
const SLICE = 1_000;
const SLICES = 20;
/** A pass that has deleted this many has left some. */
export const FULL_PASS = SLICE * SLICES;

/** Deletes outdated outcomes, in slices. The row of their epoch keeps the highest deleted number. */
export class Purge {
  constructor(
    private readonly schema: string,
    private readonly retentionMs: number,
  ) {}

  /** @returns how many outcomes were deleted. */
  async run(writer: LogWriter): Promise<number> {
    const epochs = await writer.runCurrent((session, own) => this.epochs(session, own));
    let count = 0;
    let slices = 0;
    for (const epoch of epochs) {
      for (let isMore = true; isMore && slices < SLICES; slices++) {
        const deleted = await writer.runCurrent((session, own) =>
          writer.conditional(session, own, () => this.slice(session, own, epoch)),
        );
        count += deleted;
        isMore = deleted === SLICE;
      }
    }
    return count;
  }

  /** Each living member deletes its own outcomes. */
  private async epochs(session: LogSession, own: OwnEpoch): Promise<number[]> {
    const { schema } = this;
    const rows = await session.query<Row>(
      `SELECT epoch::text FROM ${schema}.epochs AS epochs WHERE log = $1 AND (epoch = $2 OR fenced_by IS NOT NULL)
         AND EXISTS (SELECT FROM ${schema}.outcomes AS outcomes WHERE outcomes.log = $1 AND outcomes.epoch = epochs.epoch)
       ORDER BY epochs.epoch`,
      [own.log, own.epoch],
    );
    return rows.map((row) => Number(row['epoch']));
  }

  private slice(session: LogSession, own: OwnEpoch, epoch: number): Promise<number | undefined> {
    const { schema } = this;
    return session.transaction(async () => {
      const [me] = await session.query<Row>(currentEpoch(schema), [own.log, own.epoch, own.incarnation]);
      if (me === undefined) return undefined;
      const [row] = await session.query<Row>(
        `WITH slice AS (
           SELECT sequence, ended_at FROM ${schema}.outcomes WHERE log = $1 AND epoch = $2 ORDER BY sequence LIMIT ${SLICE}),
         gone AS (
           DELETE FROM ${schema}.outcomes AS outcomes USING slice
           WHERE outcomes.log = $1 AND outcomes.epoch = $2 AND outcomes.sequence = slice.sequence
             AND slice.ended_at < clock_timestamp() - $3 * interval '1 millisecond'
           RETURNING outcomes.sequence),
         freed AS (
           DELETE FROM ${schema}.request_keys AS keys USING gone
           WHERE keys.log = $1 AND keys.epoch = $2 AND keys.sequence = gone.sequence)
         SELECT count(*)::text AS count, max(sequence)::text AS last FROM gone`,
        [own.log, epoch, this.retentionMs],
      );
      const count = Number(row?.['count']);
      if (count > 0) {
        await session.query(
          `UPDATE ${schema}.epochs SET purged = greatest(purged, $3::bigint) WHERE log = $1 AND epoch = $2`,
          [own.log, epoch, row!['last']],
        );
      }
      return count;
    });
  }
}
