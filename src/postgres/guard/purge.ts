import type { Logger } from '@nestjs/common';
import { type Branch, type CoordinatorRun, coordinatorNameOf } from '../../coordinator/index.js';
import { branchOf } from '../../sql/gid.js';
import type { GuardTable } from './table.js';
import type { Lane } from '../connection/lane.js';
import type { ResolvedPostgresSettings } from '../options.js';
import { rowsOf } from '../connection/own-queries.js';

/** So many pages are looked through in one statement, which then holds its locks for some milliseconds only. */
const PAGES_A_STATEMENT = 64;

/** A pass looks through as many pages as it takes to get round the table in `retainBranchesMs`, and at least so many. */
const PAGES_A_PASS = 1_024;

/** What was visible in the database at a moment. */
interface Sight {
  readonly snapshot: string;
  /** When it was there already, on the monotonic clock. */
  readonly at: number;
}

/**
 * Deletes old rows of the guard table. A row says how its branch ended to whoever asks again, so it goes only when nobody
 * will: it is a row of this participant, of a coordinator that this process has worked for; it is older than
 * `retainBranchesMs`; and it was visible `purgeIntervalMs` ago. So after every start, and after a branch that was in
 * doubt for long has been committed, there is that time for the coordinator to repeat what it is not sure of. And its coordinator
 * is asked: while the transaction is not settled, because a branch is stalled or waits for a paused participant, the row stays.
 */
export class GuardPurge {
  /** The names of the coordinators, each with its latest run. */
  private readonly coordinators = new Map<string, CoordinatorRun | undefined>();
  /** What was visible long enough ago, and what will have been. */
  private seen: Sight | undefined;
  private next: Sight | undefined;
  /** Where the next pass begins: anywhere at first, so that every page has its turn however often the process starts. */
  private page: number | undefined;
  private timer: NodeJS.Timeout | undefined;
  private underWay: Promise<number> | undefined;
  private readonly stopping = new AbortController();

  constructor(
    private readonly participant: string,
    private readonly lane: Lane,
    private readonly guard: GuardTable,
    private readonly settings: ResolvedPostgresSettings,
    private readonly logger: Logger,
  ) {}

  start(): void {
    if (this.stopping.signal.aborted) return;
    this.timer ??= setInterval(() => void this.pass(), this.settings.purgeIntervalMs).unref();
  }

  /** Nothing more is deleted. @returns a promise that resolves when nobody is at it any more. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    this.stopping.abort(new Error('the participant is closed'));
    await this.underWay;
  }

  /** The rows of a coordinator that others work for are theirs to delete. */
  workFor({ transactionId, run }: Pick<Branch, 'transactionId' | 'run'>): void {
    this.coordinators.set(coordinatorNameOf(transactionId), run);
  }

  /** @returns how many rows were deleted, by this pass or the one that is under way. One that fails is repeated by the next. */
  pass(): Promise<number> {
    this.underWay ??= this.run().finally(() => {
      this.underWay = undefined;
    });
    return this.underWay;
  }

  private async run(): Promise<number> {
    let deleted = 0;
    const timeUp = AbortSignal.timeout(this.settings.purgeIntervalMs);
    const signal = AbortSignal.any([timeUp, this.stopping.signal]);
    try {
      this.look();
      if (this.seen !== undefined) {
        await this.lookThrough(this.seen, signal, (rows) => (deleted += rows));
      }
      this.next ??= await this.sight(signal);
    } catch (error) {
      if (!this.stopping.signal.aborted) {
        this.logger.warn(`Old rows of ${this.guard.name} could not be deleted: ${String(error)}`);
      }
    }
    return deleted;
  }

  /** However often a pass is run, what was seen counts only when it has been for a whole interval. */
  private look(): void {
    if (this.next === undefined || performance.now() - this.next.at < this.settings.purgeIntervalMs) return;
    this.seen = this.next;
    this.next = undefined;
  }

  private sight(signal: AbortSignal): Promise<Sight | undefined> {
    return this.lane.run(signal, async (client) => {
      const rows = await rowsOf<{ snapshot: string }>(
        client,
        'SELECT pg_current_snapshot()::text AS snapshot',
      );
      return rows[0] && { snapshot: rows[0].snapshot, at: performance.now() };
    });
  }

  /** Goes on where the last pass has ended, and from the beginning again at the end of the table. */
  private async lookThrough(
    { snapshot }: Sight,
    signal: AbortSignal,
    tell: (rows: number) => void,
  ): Promise<void> {
    const { retainBranchesMs, purgeIntervalMs } = this.settings;
    const pages = await this.lane.run(signal, (client) => this.guard.pages(client));
    const share = Math.ceil(pages * Math.min(1, purgeIntervalMs / retainBranchesMs));
    let left = Math.min(pages, Math.max(share, PAGES_A_PASS));
    let page = this.page ?? Math.floor(Math.random() * pages);
    while (left > 0) {
      if (page >= pages) page = 0;
      const end = Math.min(page + Math.min(left, PAGES_A_STATEMENT), pages);
      const values = [retainBranchesMs, this.participant, [...this.coordinators.keys()], snapshot, page, end];
      const rows = await this.lane.run(signal, async (client) => {
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

  /** Whether the coordinator may still call the branch. A run that was made by hand is not asked. */
  private isNeeded(gid: string): boolean {
    const branch = branchOf(gid, this.participant);
    if (branch === undefined) return true;
    const run = this.coordinators.get(coordinatorNameOf(branch.transactionId));
    return run?.isUnsettled?.(branch.transactionId) ?? false;
  }
}
