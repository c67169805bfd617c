import type { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import type { FoundRecords } from '../execution/restored-runs.js';
import type { CoordinatorRun } from '../participant/participant.js';
import { idPrefixOf } from '../protocol/index.js';
import { ClaimRestoration, type Restored } from './claim-restoration.js';
import { OrphanRecovery } from './orphan-recovery.js';
import { StalledRecovery } from './stalled-recovery.js';

/** How long the log may take to report whether it works before it is asked again. */
const CHECK_WITHIN_MS = 10_000;

/**
 * Completes unfinished work: decisions of earlier runs, stalled branches, and orphans. It never touches a
 * running transaction.
 */
export class Recovery {
  private readonly stalled: StalledRecovery;
  private readonly orphans: OrphanRecovery;
  private readonly claims: ClaimRestoration;
  private isRestored = false;
  /** When the log was asked whether it works, on the coordinator's clock; 0 when it has answered. */
  private checkingSince = 0;

  constructor(private readonly runtime: CoordinatorRuntime) {
    this.stalled = new StalledRecovery(runtime, runtime.parts.options.recoveryConcurrency);
    this.orphans = new OrphanRecovery(runtime, (participant) => void this.stalled.passAgain(participant));
    this.claims = new ClaimRestoration(runtime);
  }

  /**
   * Restores the records of a run that can write no more, in one step. The participants are registered
   * before.
   *
   * @param found the records. @default the records that the own log held when it was opened; they are passed
   * on once
   * @returns the number of new decisions, and the names of missing participants.
   */
  restore(found = this.runtime.takeUnfinished()): Restored {
    const restored = this.claims.restore(found);
    this.isRestored ||= found.run === this.runtime.log.run;
    return restored;
  }

  /** Restores the records in slices: the event loop turns in between, and transactions continue. */
  async restoreInSlices(found = this.runtime.takeUnfinished()): Promise<Restored> {
    const restored = await this.claims.restoreInSlices(found);
    this.isRestored ||= found.run === this.runtime.log.run;
    return restored;
  }

  /**
   * Takes up what was adopted of a run, and brings it to its end at once.
   *
   * @returns as {@link restore}.
   */
  async takeOver(found: FoundRecords): Promise<Restored> {
    const restored = await this.restoreInSlices(found);
    this.deliverNow();
    void this.orphans.passAnew();
    return restored;
  }

  /** Tries whatever is stalled, at every participant at once. */
  deliverNow(): void {
    for (const participant of this.runtime.parts.participants.registered())
      void this.stalled.passAgain(participant);
  }

  /**
   * Whether the participants have shown that nothing of an adopted epoch is prepared any more.
   *
   * @param run one that was taken up.
   */
  isClear(run: CoordinatorRun): boolean {
    const restored = this.runtime.restoredRuns.of(`${idPrefixOf(run)}1`);
    return restored !== undefined && this.orphans.isClear(run.epoch, restored.number);
  }

  /** As {@link OrphanRecovery.preparedBy}. */
  preparedBy(epoch: number, names: ReadonlySet<string>, since: number): number | undefined {
    return this.orphans.preparedBy(epoch, names, since);
  }

  /**
   * Tries each stalled branch once, and looks for orphans.
   *
   * @returns a promise that resolves when the stalled branches have been tried. It does not wait for lists of
   * branches.
   */
  async pass(): Promise<void> {
    // Before that, a decision in the log would look like one that was never made.
    if (!this.isRestored) return;
    void this.findOrphans();
    void this.runtime.parts.participants.claimAgain();
    void this.checkLog();
    await this.stalled.pass();
    this.runtime.isRecovering = false;
    this.runtime.parts.observer.recoveryPassed?.();
  }

  /** @returns a promise that resolves when every participant has listed its branches. It never rejects. */
  async findOrphans(): Promise<void> {
    if (this.isRestored) await this.orphans.pass();
  }

  /** While the log is assumed to fail, no record is written, so the log is asked whether it works again. */
  private async checkLog(): Promise<void> {
    const { log } = this.runtime;
    const { run } = log;
    const now = this.runtime.parts.clock.now();
    const isAsked = this.checkingSince !== 0 && now - this.checkingSince < CHECK_WITHIN_MS;
    const { records } = this.runtime.executor;
    if ((log.problem === undefined && !records.hasUnwritten) || isAsked) return;
    this.checkingSince = now;
    try {
      await log.storage.check();
      log.succeeded();
      records.writeAgain();
    } catch (error) {
      log.failed(error, run);
    } finally {
      this.checkingSince = 0;
    }
  }

  /** Tries nothing further. @returns a promise that resolves when nothing is running. */
  async stop(): Promise<void> {
    this.orphans.stop();
    await this.stalled.stop();
  }
}
