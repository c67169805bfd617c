import type { Logger } from '@nestjs/common';
import { GuardPurge } from '../../sql/guard-purge.js';
import type { GuardTable } from './table.js';
import type { ConnectionPool } from '../connection/connection-pool.js';
import type { ResolvedPostgresSettings } from '../options.js';
import { rowsOf } from '../connection/own-queries.js';

/** The number of pages that one statement scans. It then holds its locks only for some milliseconds. */
const PAGES_A_STATEMENT = 64;

/**
 * A pass scans as many pages as are needed to cover the table in `retainBranchesMs`, and at least this
 * number.
 */
const PAGES_A_PASS = 1_024;

/** The snapshot of the database at a moment. */
interface Sight {
  readonly snapshot: string;
  /** When it was taken, on the monotonic clock. */
  readonly at: number;
}

/**
 * Deletes old rows of the guard table. A row answers later calls of its branch, so it is deleted only when no
 * such call can come. It must be a row of this participant, of a coordinator that this process has worked
 * for; it must be older than `retainBranchesMs`; and it must have been visible `purgeIntervalMs` ago. So
 * after every start, and after the late commit of a branch in doubt, the coordinator has that time to repeat
 * calls. And the coordinator is asked: while the transaction is not settled, because a branch is stalled or
 * waits for a paused participant, the row stays.
 */
export class PostgresGuardPurge extends GuardPurge {
  /** The snapshot that is old enough, and the next one. */
  private seen: Sight | undefined;
  private next: Sight | undefined;
  /**
   * Where the next pass begins: at a random page first, so that every page is scanned however often the
   * process starts.
   */
  private page: number | undefined;

  constructor(
    participant: string,
    private readonly connections: ConnectionPool,
    private readonly guard: GuardTable,
    private readonly settings: ResolvedPostgresSettings,
    logger: Logger,
  ) {
    super(participant, guard, settings.purgeIntervalMs, logger);
  }

  protected override async sweep(signal: AbortSignal, tell: (rows: number) => void): Promise<void> {
    this.look();
    if (this.seen !== undefined) await this.lookThrough(this.seen, signal, tell);
    this.next ??= await this.sight(signal);
  }

  /** However often a pass runs, a snapshot counts only after a whole interval. */
  private look(): void {
    if (this.next === undefined || performance.now() - this.next.at < this.settings.purgeIntervalMs) return;
    this.seen = this.next;
    this.next = undefined;
  }

  private sight(signal: AbortSignal): Promise<Sight | undefined> {
    return this.connections.run(signal, async (client) => {
      const rows = await rowsOf<{ snapshot: string }>(
        client,
        'SELECT pg_current_snapshot()::text AS snapshot',
      );
      return rows[0] && { snapshot: rows[0].snapshot, at: performance.now() };
    });
  }

  /** Continues where the last pass has ended, and starts again at the end of the table. */
  private async lookThrough(
    { snapshot }: Sight,
    signal: AbortSignal,
    tell: (rows: number) => void,
  ): Promise<void> {
    const { retainBranchesMs, purgeIntervalMs } = this.settings;
    const pages = await this.connections.run(signal, (client) => this.guard.pages(client));
    const share = Math.ceil(pages * Math.min(1, purgeIntervalMs / retainBranchesMs));
    let left = Math.min(pages, Math.max(share, PAGES_A_PASS));
    let page = this.page ?? Math.floor(Math.random() * pages);
    while (left > 0) {
      if (page >= pages) page = 0;
      const end = Math.min(page + Math.min(left, PAGES_A_STATEMENT), pages);
      const values = [retainBranchesMs, this.participant, [...this.coordinators.keys()], snapshot, page, end];
      const rows = await this.connections.run(signal, async (client) => {
        const { rows: old } = await client.query<{ gid: string }>(this.guard.old(), values);
        const over = old.map(({ gid }) => gid).filter((gid) => !this.isNeeded(gid));
        if (over.length === 0) return 0;
        const { rowCount } = await client.query(this.guard.purge(), [...values, over]);
        return rowCount ?? 0;
      });
      tell(rows);
      left -= end - page;
      this.page = page = end;
    }
  }
}
