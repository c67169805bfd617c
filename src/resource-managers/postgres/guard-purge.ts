import type { Logger } from '@nestjs/common';
import type { Lane } from './connections.js';
import type { GuardTable } from './guard-table.js';
import type { ResolvedPostgresSettings } from './options.js';

/** So many rows go in one statement, which then holds its locks for some milliseconds only. */
const ROWS_A_STATEMENT = 2_000;

/** So many statements are run in one pass; the rest waits for the next. */
const STATEMENTS_A_PASS = 100;

/**
 * Deletes old rows of the guard table. A row says how its branch ended to whoever asks again, so it goes only when nobody
 * will: it is a row of this participant, of a coordinator that this process has worked for; it is older than
 * `retainBranchesMs`; and it was visible in the pass before. So after every start, and after a branch that was in
 * doubt for long has been committed, there is `purgeIntervalMs` for the coordinator to repeat what it is not sure of.
 */
export class GuardPurge {
  private readonly coordinators = new Set<string>();
  /** What was visible at the end of the pass before. */
  private snapshot: string | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly participant: string,
    private readonly lane: Lane,
    private readonly guard: GuardTable,
    private readonly settings: ResolvedPostgresSettings,
    private readonly logger: Logger,
  ) {}

  start(): void {
    this.timer ??= setInterval(() => void this.pass(), this.settings.purgeIntervalMs).unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** The rows of a coordinator that others work for are theirs to delete. */
  workFor(coordinator: string): void {
    this.coordinators.add(coordinator);
  }

  /** @returns how many rows were deleted. A pass that fails is repeated by the next. */
  async pass(): Promise<number> {
    let deleted = 0;
    try {
      const signal = AbortSignal.timeout(this.settings.purgeIntervalMs);
      for (let statements = 0; statements < STATEMENTS_A_PASS; statements++) {
        const rows = await this.deleteSome(signal);
        deleted += rows;
        if (rows < ROWS_A_STATEMENT) break;
      }
      this.snapshot = await this.lane.run(signal, async (client) => {
        const { rows } = await client.query<{ snapshot: string }>(
          'SELECT pg_current_snapshot()::text AS snapshot',
        );
        return rows[0]?.snapshot;
      });
    } catch (error) {
      this.logger.warn(`Old rows of ${this.guard.name} could not be deleted: ${String(error)}`);
    }
    return deleted;
  }

  private deleteSome(signal: AbortSignal): Promise<number> {
    if (this.snapshot === undefined) return Promise.resolve(0);
    const { retainBranchesMs } = this.settings;
    const values = [
      retainBranchesMs,
      this.participant,
      [...this.coordinators],
      this.snapshot,
      ROWS_A_STATEMENT,
    ];
    return this.lane.run(signal, async (client) => {
      const { rowCount } = await client.query(this.guard.purge(), values);
      return rowCount ?? 0;
    });
  }
}
