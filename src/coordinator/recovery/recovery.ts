import type { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import { OrphanRecovery } from './orphan-recovery.js';
import { LOOKED_AT_IN_A_SLICE, Slices } from './slices.js';
import { StalledRecovery } from './stalled-recovery.js';

/** How long the log may take to say whether it works before it is asked again. */
const CHECK_WITHIN_MS = 10_000;

/** What was taken up at the start: how many decisions, and the names of participants that are missing. */
interface Restored {
  readonly decisions: number;
  readonly missing: ReadonlySet<string>;
}

/**
 * Brings to its end what was left over: decisions of earlier runs, branches that are stalled, and orphans. It never
 * touches a transaction that lives.
 */
export class Recovery {
  private readonly stalled: StalledRecovery;
  private readonly orphans: OrphanRecovery;
  /** When the log was asked whether it works, on the coordinator's clock; 0 when it has answered. */
  private checkingSince = 0;
  private isRestored = false;

  constructor(private readonly runtime: CoordinatorRuntime) {
    this.stalled = new StalledRecovery(runtime, runtime.parts.options.recoveryConcurrency);
    this.orphans = new OrphanRecovery(runtime);
  }

  /**
   * Takes up the decisions that the log held when it was opened. The participants are registered before.
   *
   * @returns how many there were, and the names of the participants that are missing.
   */
  restore(): Restored {
    const steps = this.restoring();
    let step = steps.next();
    while (!step.done) step = steps.next();
    return step.value;
  }

  /** The same, in slices: the event loop turns in between, however many there are. */
  async restoreInSlices(): Promise<Restored> {
    const slices = new Slices(LOOKED_AT_IN_A_SLICE);
    const steps = this.restoring();
    let step = steps.next();
    while (!step.done) {
      const turn = slices.next();
      if (turn !== undefined) await turn;
      step = steps.next();
    }
    return step.value;
  }

  private *restoring(): Generator<undefined, Restored> {
    const { restoration } = this.runtime;
    const { decisions, reports: allReports } = this.runtime.takeUnfinished();
    const missing = new Set<string>();
    const reports = Map.groupBy(allReports, ({ id }) => id);
    for (const record of decisions) {
      const { branches } = restoration.committed(record, reports.get(record.id) ?? []);
      reports.delete(record.id);
      for (const { participant } of branches) if (participant.isAwaited) missing.add(participant.name);
      yield;
    }
    for (const ofOne of reports.values()) {
      restoration.reported(ofOne);
      yield;
    }
    this.isRestored = true;
    this.runtime.isRestored = true;
    return { decisions: decisions.length, missing };
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
