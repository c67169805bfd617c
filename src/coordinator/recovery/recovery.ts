import type { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import { OrphanRecovery } from './orphan-recovery.js';
import { StalledRecovery } from './stalled-recovery.js';

/**
 * Brings to its end what was left over: decisions of earlier runs, branches that are stalled, and orphans. It never
 * touches a transaction that lives.
 */
export class Recovery {
  private readonly stalled: StalledRecovery;
  private readonly orphans: OrphanRecovery;

  constructor(private readonly runtime: CoordinatorRuntime) {
    this.stalled = new StalledRecovery(runtime, runtime.parts.options.recoveryConcurrency);
    this.orphans = new OrphanRecovery(runtime);
  }

  /**
   * Takes up the decisions that the log held when it was opened. The participants are registered before.
   *
   * @returns the names of the participants that are missing.
   */
  restore(): ReadonlySet<string> {
    const { parts, restoration } = this.runtime;
    const present = new Set(parts.participants.list().map(({ name }) => name));
    const missing = new Set<string>();
    for (const record of parts.claim.decisions) {
      restoration.committed(record);
      for (const { participant } of record.branches) if (!present.has(participant)) missing.add(participant);
    }
    return missing;
  }

  /**
   * Tries once whatever is stalled, and looks for orphans.
   *
   * @returns a promise that resolves when the former is done. A list of branches that never comes delays nothing.
   */
  async pass(): Promise<void> {
    void this.findOrphans();
    await this.stalled.pass();
    this.runtime.isRecovering = false;
  }

  /** @returns a promise that resolves when every participant has listed its branches; it is never a rejection. */
  findOrphans(): Promise<void> {
    return this.orphans.pass();
  }

  stop(): void {
    this.orphans.stop();
  }
}
