import type { Logger } from '@nestjs/common';
import { coordinatorNameOf } from '../../coordinator/protocol/index.js';
import { branchOf, transactionOf } from '../../sql/gid.js';
import { GuardPurge } from '../../sql/guard-purge.js';
import type { ConnectionPool } from '../connection/connection-pool.js';
import type { ResolvedMariaDbSettings } from '../options.js';
import type { GuardTable } from './table.js';

/** The most rows that one pass looks at, and that it remembers for the next one. */
const ROWS_A_PASS = 10_000;

/** The most rows that one statement deletes. */
const ROWS_A_STATEMENT = 500;

/** Old rows that a pass has seen, and when. */
interface Sight {
  readonly at: number;
  readonly gids: readonly string[];
}

/**
 * Deletes old rows of the guard table. A row becomes visible when its branch commits, which may be long after
 * it was written. The coordinator may not have heard of the commit then, and ask again. So a row is deleted
 * only if it was visible one interval ago.
 */
export class MariaDbGuardPurge extends GuardPurge {
  private seen: Sight | undefined;
  /** The global id after which the next pass goes on. */
  private after = '';

  constructor(
    participant: string,
    private readonly connections: ConnectionPool,
    private readonly guard: GuardTable,
    private readonly settings: ResolvedMariaDbSettings,
    logger: Logger,
  ) {
    super(participant, guard, settings.purgeIntervalMs, logger);
  }

  protected override async sweep(signal: AbortSignal, tell: (rows: number) => void): Promise<void> {
    const { seen } = this;
    // However often a pass runs, its findings count only after a whole interval.
    if (seen !== undefined && performance.now() - seen.at < this.settings.purgeIntervalMs) return;
    for (let first = 0; first < (seen?.gids.length ?? 0); first += ROWS_A_STATEMENT) {
      tell(await this.drop(seen!.gids.slice(first, first + ROWS_A_STATEMENT), signal));
    }
    this.seen = undefined;
    this.seen = await this.sight(signal);
  }

  private async drop(gids: readonly string[], signal: AbortSignal): Promise<number> {
    const over = gids.filter((gid) => !this.isNeeded(gid));
    if (over.length === 0) return 0;
    const { affectedRows } = await this.connections.run(signal, (session) =>
      session.run(
        `DELETE FROM ${this.guard.table} WHERE gid IN (?) AND written_at < current_timestamp(3) - INTERVAL ? MICROSECOND`,
        [over, this.settings.retainBranchesMs * 1_000],
      ),
    );
    return affectedRows;
  }

  /** Goes on where the last pass has ended, and begins again at the end of the table. */
  private async sight(signal: AbortSignal): Promise<Sight> {
    const rows = await this.connections.run(signal, (session) =>
      session.rows<{ gid: string; is_old: string }>(
        `SELECT gid, CAST(written_at < current_timestamp(3) - INTERVAL ? MICROSECOND AS CHAR) AS is_old FROM ${this.guard.table}
          WHERE gid > ? ORDER BY gid LIMIT ${ROWS_A_PASS}`,
        [this.settings.retainBranchesMs * 1_000, this.after],
      ),
    );
    this.after = rows.length < ROWS_A_PASS ? '' : rows.at(-1)!.gid;
    const old = rows.filter(({ gid, is_old }) => is_old === '1' && this.isOurs(gid));
    return { at: performance.now(), gids: old.map(({ gid }) => gid) };
  }

  private isOurs(gid: string): boolean {
    return (
      branchOf(gid, this.participant) !== undefined &&
      this.coordinators.has(coordinatorNameOf(transactionOf(gid)))
    );
  }
}
