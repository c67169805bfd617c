import type { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import { ClaimRestoration, type Restored } from './claim-restoration.js';
import { OrphanRecovery } from './orphan-recovery.js';
import { StalledRecovery } from './stalled-recovery.js';

/** How long the log may take to say whether it works before it is asked again. */
const CHECK_WITHIN_MS = 10_000;

/**
 * Brings to its end what was left over: decisions of earlier runs, branches that are stalled, and orphans. It never
 * touches a transaction that lives.
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
    this.orphans = new OrphanRecovery(runtime);
    this.claims = new ClaimRestoration(runtime);
  }

  /**
   * Takes up the records of a run that can write no more, at once. The participants are registered before.
   *
   * @param found the records. @default what the own log held when it was opened; that is handed over once
   * @returns how many decisions were new, and the names of the participants that are missing.
   */
  restore(found = this.runtime.takeUnfinished()): Restored {
    const restored = this.claims.restore(found);
    this.isRestored ||= found.run === this.runtime.log.run;
    return restored;
  }

  /** The same, in slices: the event loop turns in between, however many there are, and transactions go on. */
  async restoreInSlices(found = this.runtime.takeUnfinished()): Promise<Restored> {
    const restored = await this.claims.restoreInSlices(found);
    this.isRestored ||= found.run === this.runtime.log.run;
    return restored;
  }

  /**
   * Tries once whatever is stalled, and looks for orphans.
   *
   * @returns a promise that resolves when the former is done. A list of branches that never comes delays nothing.
   */
  async pass(): Promise<void> {
    // Before, a decision that the log holds would be taken for one that was never made.
    if (!this.isRestored) return;
    void this.findOrphans();
    void this.runtime.parts.participants.claimAgain();
    void this.checkLog();
    await this.stalled.pass();
    this.runtime.isRecovering = false;
    this.runtime.parts.observer.recoveryPassed?.();
  }

  /** @returns a promise that resolves when every participant has listed its branches; it is never a rejection. */
  async findOrphans(): Promise<void> {
    if (this.isRestored) await this.orphans.pass();
  }

  /** Nothing new is written while the log is thought to fail, so it is asked whether it works again. */
  private async checkLog(): Promise<void> {
    const { log } = this.runtime;
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
      log.failed(error);
    } finally {
      this.checkingSince = 0;
    }
  }

  /** Nothing further is tried. @returns a promise that resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.orphans.stop();
    await this.stalled.stop();
  }
}
