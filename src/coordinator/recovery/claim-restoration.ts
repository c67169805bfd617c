import type { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import type { FoundRecords } from '../execution/restored-runs.js';
import { LOOKED_AT_IN_A_SLICE, Slices } from './slices.js';

/** The result of a restoration: the number of new decisions, and the names of missing participants. */
export interface Restored {
  readonly decisions: number;
  readonly missing: ReadonlySet<string>;
}

/**
 * Loads the records of runs that can write no more: at the start those of the own log, and at any time those
 * of another run. Transactions of this run continue meanwhile. A record that was loaded before changes
 * nothing.
 */
export class ClaimRestoration {
  constructor(private readonly runtime: CoordinatorRuntime) {}

  /** Restores all records in one step. @returns the result. */
  restore(found: FoundRecords): Restored {
    const steps = this.steps(found);
    let step = steps.next();
    while (!step.done) step = steps.next();
    return step.value;
  }

  /** Restores the records in slices: the event loop turns in between, however many records there are. */
  async restoreInSlices(found: FoundRecords): Promise<Restored> {
    const slices = new Slices(LOOKED_AT_IN_A_SLICE);
    const steps = this.steps(found);
    let step = steps.next();
    while (!step.done) {
      const turn = slices.next();
      if (turn !== undefined) await turn;
      step = steps.next();
    }
    return step.value;
  }

  private *steps(found: FoundRecords): Generator<undefined, Restored> {
    const { restoration, restoredRuns } = this.runtime;
    const missing = new Set<string>();
    let count = 0;
    restoredRuns.begin();
    try {
      const reports = Map.groupBy(found.reports, ({ id }) => id);
      for (const record of found.decisions) {
        const transaction = restoration.committed(record, reports.get(record.id) ?? [], found.log);
        reports.delete(record.id);
        if (transaction !== undefined) count++;
        for (const { participant } of transaction?.branches ?? []) {
          if (participant.isAwaited) missing.add(participant.name);
        }
        yield;
      }
      for (const ofOne of reports.values()) {
        restoration.reported(ofOne, found.log);
        yield;
      }
      this.taken(found);
    } finally {
      restoredRuns.end();
    }
    return { decisions: count, missing };
  }

  /** From now on no record means abort. */
  private taken({ run }: FoundRecords): void {
    const { runtime } = this;
    if (run === runtime.log.run) runtime.isRestored = true;
    else runtime.restoredRuns.add(run);
  }
}
