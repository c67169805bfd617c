import type { Logger } from '@nestjs/common';
import type { Branch, CoordinatorRun } from '../coordinator/participant/participant.js';
import { coordinatorNameOf } from '../coordinator/protocol/index.js';
import { branchOf } from './gid.js';

/**
 * Deletes old rows of a guard table, at regular times. A row answers later calls of its branch, so it is
 * deleted only when no such call can come. Each database finds the old rows its own way; the coordinator is
 * asked for each of them.
 */
export abstract class GuardPurge {
  /** The names of the coordinators that this process has worked for, each with its latest run. */
  protected readonly coordinators = new Map<string, CoordinatorRun | undefined>();
  /** The latest run, and how the ids of its coordinator begin. */
  private latest: { readonly run: CoordinatorRun; readonly prefix: string } | undefined;
  private timer: NodeJS.Timeout | undefined;
  private underWay: Promise<number> | undefined;
  private readonly stopping = new AbortController();

  /**
   * @param table the guard table.
   * @param intervalMs the time between two passes, and the most that one may take.
   */
  protected constructor(
    protected readonly participant: string,
    private readonly table: { readonly name: string },
    private readonly intervalMs: number,
    private readonly logger: Logger,
  ) {}

  start(): void {
    if (this.stopping.signal.aborted) return;
    this.timer ??= setInterval(() => void this.pass(), this.intervalMs).unref();
  }

  /** Deletes nothing more. @returns a promise that resolves when no pass is running. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    this.stopping.abort(new Error('the participant is closed'));
    await this.underWay;
  }

  /** Rows of coordinators that other processes work for are theirs to delete. */
  workFor({ transactionId, run }: Pick<Branch, 'transactionId' | 'run'>): void {
    const { latest } = this;
    if (latest !== undefined && run === latest.run && transactionId.startsWith(latest.prefix)) return;
    const name = coordinatorNameOf(transactionId);
    this.coordinators.set(name, run);
    this.latest = { run, prefix: `${name}.` };
  }

  /**
   * @returns the number of rows deleted by this pass or the running one. The next pass repeats a failed one.
   */
  pass(): Promise<number> {
    this.underWay ??= this.run().finally(() => {
      this.underWay = undefined;
    });
    return this.underWay;
  }

  /**
   * One pass.
   *
   * @param tell is called with each number of deleted rows: they stay deleted if the pass fails later.
   */
  protected abstract sweep(signal: AbortSignal, tell: (rows: number) => void): Promise<void>;

  /** Whether the coordinator may still call the branch. A run that a program made itself is not asked. */
  protected isNeeded(gid: string): boolean {
    const branch = branchOf(gid, this.participant);
    if (branch === undefined) return true;
    const run = this.coordinators.get(coordinatorNameOf(branch.transactionId));
    return run?.isUnsettled?.(branch.transactionId) ?? false;
  }

  private async run(): Promise<number> {
    let deleted = 0;
    const signal = AbortSignal.any([AbortSignal.timeout(this.intervalMs), this.stopping.signal]);
    try {
      await this.sweep(signal, (rows) => (deleted += rows));
    } catch (error) {
      if (!this.stopping.signal.aborted) {
        this.logger.warn(`Old rows of ${this.table.name} could not be deleted: ${String(error)}`);
      }
    }
    return deleted;
  }
}
