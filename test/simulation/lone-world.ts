import type { DecisionLog } from '../../src/coordinator/index.js';
import { END_LOST, leftovers } from './convergence.js';
import { FAULTS } from './faults.js';
import { LogStorage } from './log-storage.js';
import { SimulatedLog } from './log.js';
import { LoneProcess } from './lone-process.js';
import type { CoordinatorProcess } from './process.js';
import { drawSettings } from './settings.js';
import { World, type WorldOptions } from './world.js';

export interface LoneWorldOptions extends WorldOptions {
  /** Puts something else in the place of the log, to plant a defect. */
  readonly plant?: ((log: DecisionLog) => DecisionLog) | undefined;
}

/** A world in which one process at a time decides: the latest one that has claimed the log. */
export class LoneWorld extends World<LoneProcess> {
  readonly storage: LogStorage;
  /** Copies of the log that no process works with yet. */
  private copies: LogStorage[] = [];
  private copiesStarted = 0;
  private readonly plant: LoneWorldOptions['plant'];

  constructor(options: LoneWorldOptions) {
    super(options, { faults: FAULTS, isShared: false, settings: drawSettings });
    this.plant = options.plant;
    this.storage = new LogStorage(this.judge);
    this.planSafetyPhase();
  }

  makeLog(process: LoneProcess): DecisionLog {
    const log = new SimulatedLog(process.storage, process, this);
    return this.plant?.(log) ?? log;
  }

  /** The log is copied, as a folder is. Sometimes the coordinator is started again soon. */
  private copyLog(): void {
    this.copies.push(this.storage.copy());
    if (this.random.chance(0.3)) this.withSomeProcess((it) => this.crashCoordinator(it));
  }

  /**
   * A participant has let a run in. A copy of the log is started as soon as each of them has seen a later run
   * than the copy has: before that, it could be the log itself, which was moved.
   */
  override runLetIn(): void {
    if (this.copies.length === 0 || this.faults.areOver) return;
    const seen = this.participants
      .filter(({ traits }) => traits.claims)
      .map(({ latestRun }) => latestRun?.epoch ?? 0);
    const isOld = ({ epoch }: LogStorage): boolean => seen.every((latest) => latest > epoch);
    for (const copy of this.copies.filter(isOld)) {
      this.witnesses.count('log is copied');
      const process = new LoneProcess(this, 100 + ++this.copiesStarted, copy);
      this.queue.after(this.random.next() * 1_000, () => process.start());
    }
    this.copies = this.copies.filter((copy) => !isOld(copy));
  }

  /** Another process takes the place of one that it takes for dead. */
  override usurp(process: CoordinatorProcess, pauses: boolean): void {
    const { random } = this;
    if (pauses) process.pause(random.next() * 8_000);
    this.queue.after(random.next() * 500, () => {
      if (!this.faults.areOver) this.startCoordinator();
    });
  }

  protected override replace(): void {
    if (!this.processes.some(({ isAlive }) => isAlive)) this.startCoordinator();
  }

  private startCoordinator(): void {
    const process = new LoneProcess(this, this.processes.length + 1);
    this.processes.push(process);
    process.start();
  }

  private planSafetyPhase(): void {
    this.startCoordinator();
    this.planClients();
    this.repeatedly('coordinator crashes', () => this.withSomeProcess((it) => this.crashCoordinator(it)));
    this.repeatedly('coordinator pauses beyond its lease', () =>
      this.withSomeProcess((it) => this.usurp(it, true)),
    );
    this.repeatedly('coordinator is replaced while it runs', () =>
      this.withSomeProcess((it) => this.usurp(it, false)),
    );
    this.planClockJumps();
    this.planParticipants();
  }

  protected override planMore(): void {
    if (this.faults.has('log is copied')) this.atRandom(0.7, () => this.copyLog());
  }

  protected override heal(): void {
    this.say('world', 'heals');
    this.faults.heal();
    for (const participant of this.participants) participant.start();
    const owner = this.processes.find(({ isReady, epoch }) => isReady && epoch === this.storage.epoch);
    const mayRestart = this.processes.length > 1 && this.random.chance(0.3);
    const restarts = owner !== undefined && (mayRestart || owner.isLogBroken);
    for (const process of this.processes) if (process !== owner || restarts) process.crash();
    if (owner === undefined || restarts) this.startCoordinator();
    else owner.resume();
    this.healed();
  }

  protected override leftovers(): string | undefined {
    const left = leftovers(this);
    if (left === END_LOST) this.restart();
    return left;
  }

  private restart(): void {
    for (const process of this.processes) process.crash();
    this.startCoordinator();
  }
}
