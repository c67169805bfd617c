import type { CoordinatorRuntime } from '../../src/coordinator/execution/coordinator-runtime.js';
import type { DecisionLog, LogClaim, ParticipantRegistry } from '../../src/coordinator/index.js';
import { ClaimsOfRun } from '../../src/coordinator/participant/claims-of-run.js';
import type { LogStorage } from './log-storage.js';
import type { LoneWorld } from './lone-world.js';
import { CopiedLogError } from './participant.js';
import { CoordinatorProcess, RETRY_START_MS } from './process.js';

/** How often a process is started that works with a copy of the log: to start it again changes nothing. */
const STARTS_OF_A_COPY = 3;

/** A process with a log of its own, or with a copy of one. */
export class LoneProcess extends CoordinatorProcess {
  private startsLeft = STARTS_OF_A_COPY;

  constructor(
    private readonly ownWorld: LoneWorld,
    number: number,
    /** The log that it works with, or a copy of it. */
    readonly storage: LogStorage = ownWorld.storage,
  ) {
    super(ownWorld, number);
  }

  protected override makeLog(): DecisionLog {
    return this.ownWorld.makeLog(this);
  }

  /** Whether it works with a copy of the log. */
  protected override get isCopy(): boolean {
    return this.storage !== this.ownWorld.storage;
  }

  /** Asks the participants whether they let this run in. One that is refused by any of them does nothing. */
  protected override claim(
    participants: ParticipantRegistry,
    runtime: CoordinatorRuntime,
    claim: LogClaim,
  ): void {
    const world = this.ownWorld;
    if (!world.faults.has('log is copied')) {
      this.takeUp(runtime, claim);
      return;
    }
    participants.claimWith(new ClaimsOfRun(runtime.log.run, runtime.log.isOwnRun, false));
    void participants.claimAll().then(
      () => {
        if (!this.isAlive) return;
        if (this.isCopy) world.judge.violate(`${this.label} works with a copy of the log, and is let in`);
        else this.takeUp(runtime, claim);
      },
      (error: unknown) => {
        if (!this.isAlive) return;
        world.say(this.label, 'is not let in');
        if (this.isCopy && error instanceof CopiedLogError) world.witnesses.count('copy of the log refused');
        if (!this.isCopy || --this.startsLeft > 0) this.after(RETRY_START_MS, () => this.start());
      },
    );
  }
}
