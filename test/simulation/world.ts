import type { DecisionLog } from '../../src/coordinator/index.js';
import { Client } from './client.js';
import { END_LOST, leftovers } from './convergence.js';
import { EventQueue } from './event-queue.js';
import { Faults } from './faults.js';
import { Judge } from './judge.js';
import { LogStorage } from './log-storage.js';
import { SimulatedLog } from './log.js';
import { Network } from './network.js';
import { Participant } from './participant.js';
import { CoordinatorProcess } from './process.js';
import { Random } from './random.js';
import { type Settings, drawSettings } from './settings.js';
import { Transcript } from './transcript.js';
import { Witnesses } from './witnesses.js';

/** The longest that a world may take to come to rest after everything is well, in virtual milliseconds. */
const CONVERGES_WITHIN_MS = 300_000;
/**
 * Not a whole number, because the recovery job's interval is one: in step with it, every check would come while lists of
 * branches are under way, and a world at rest would seem to be busy.
 */
const CHECK_INTERVAL_MS = 401.3;
/** More events than any world needs: one that reaches it runs in circles. */
const MAX_EVENTS = 200_000;

export interface WorldOptions {
  readonly seed: number;
  /** Whether it is written down what happens. */
  readonly transcript?: boolean;
  /** Puts something else in the place of the log, to plant a defect. */
  readonly plant?: ((log: DecisionLog) => DecisionLog) | undefined;
}

/**
 * A small world with everything in it: coordinators, their shared log, participants, callers and a network between
 * them. One seed determines all that happens. First things go wrong; then everything heals, and it has to converge.
 */
export class World {
  readonly seed: number;
  readonly queue = new EventQueue();
  readonly random: Random;
  readonly witnesses = new Witnesses();
  readonly transcript: Transcript;
  readonly judge: Judge;
  readonly faults: Faults;
  readonly settings: Settings;
  readonly network: Network;
  readonly storage: LogStorage;
  readonly participants: readonly Participant[];
  readonly processes: CoordinatorProcess[] = [];
  /** Copies of the log that no process works with yet. */
  private copies: LogStorage[] = [];
  private copiesStarted = 0;
  private readonly plant: WorldOptions['plant'];
  private events = 0;
  private isOver = false;

  constructor({ seed, transcript = false, plant }: WorldOptions) {
    this.seed = seed;
    this.plant = plant;
    this.random = new Random(seed, 1);
    this.transcript = new Transcript(transcript, () => this.queue.now);
    this.judge = new Judge(this.transcript, this.witnesses);
    this.faults = new Faults(this.random, this.witnesses);
    // To be seen twice proves something only if time has really passed between the two lists.
    if (this.faults.has('list of branches is stale')) this.faults.switchOff('clock jumps forward');
    this.settings = drawSettings(this.random, this.faults);
    this.network = new Network(this);
    this.storage = new LogStorage(this.judge);
    this.participants = this.settings.participants.map((traits) => new Participant(traits, this));
    this.planSafetyPhase();
  }

  /** Lets one thing happen. What it causes at once has to have run its course before the next. @returns whether to go on. */
  step(): boolean {
    if (this.isOver || this.judge.violations.length > 0) return false;
    try {
      if (!this.queue.next()) this.judge.violate('nothing happens any more, and the world has not converged');
      if (++this.events > MAX_EVENTS) this.judge.violate(`it runs in circles: ${this.events} events`);
    } catch (error) {
      this.judge.violate(`something threw where nothing may: ${(error as Error).stack}`);
    }
    return true;
  }

  say(who: string, what: string): void {
    this.transcript.say(who, what);
  }

  /** @returns the milliseconds after which an event with this limit is noticed, at the latest when everything heals. */
  untilNoticed(maxMs: number): number {
    const ms = this.random.next() * maxMs;
    return Math.min(ms, Math.max(0, this.settings.healAt - this.queue.now) + this.random.next() * 500);
  }

  makeLog(process: CoordinatorProcess): DecisionLog {
    const log = new SimulatedLog(process.storage, process, this);
    return this.plant?.(log) ?? log;
  }

  startCoordinator(): void {
    const process = new CoordinatorProcess(this, this.processes.length + 1);
    this.processes.push(process);
    process.start();
  }

  /** The log is copied, as a folder is. Sometimes the coordinator is started again soon. */
  private copyLog(): void {
    this.copies.push(this.storage.copy());
    if (this.random.chance(0.3)) this.withSomeProcess((it) => this.crashCoordinator(it));
  }

  /**
   * A participant has let a run in. A copy of the log is started as soon as each of them has seen a later run than the copy
   * has: before that, it could be the log itself, which was moved.
   */
  runLetIn(): void {
    if (this.copies.length === 0 || this.faults.areOver) return;
    const seen = this.participants
      .filter(({ traits }) => traits.claims)
      .map(({ latestRun }) => latestRun?.epoch ?? 0);
    const isOld = ({ epoch }: LogStorage): boolean => seen.every((latest) => latest > epoch);
    for (const copy of this.copies.filter(isOld)) {
      this.witnesses.count('log is copied');
      const process = new CoordinatorProcess(this, 100 + ++this.copiesStarted, copy);
      this.queue.after(this.random.next() * 1_000, () => process.start());
    }
    this.copies = this.copies.filter((copy) => !isOld(copy));
  }

  crashCoordinator(process: CoordinatorProcess): void {
    if (!process.isAlive || this.faults.areOver) return;
    process.crash();
    this.queue.after(this.random.next() * this.random.next() * 2_000, () => {
      if (!this.processes.some(({ isAlive }) => isAlive)) this.startCoordinator();
    });
  }

  private planSafetyPhase(): void {
    const { faults, settings } = this;
    this.startCoordinator();
    for (let number = 0; number < settings.clients; number++) this.atRandom(0.9, () => this.startClient());
    this.repeatedly('coordinator crashes', () => this.withSomeProcess((it) => this.crashCoordinator(it)));
    this.repeatedly('coordinator pauses beyond its lease', () =>
      this.withSomeProcess((it) => this.usurp(it, true)),
    );
    this.repeatedly('coordinator is replaced while it runs', () =>
      this.withSomeProcess((it) => this.usurp(it, false)),
    );
    this.repeatedly('clock jumps forward', () =>
      this.withSomeProcess((it) => it.jumpAhead(this.random.next() ** 3 * 20_000)),
    );
    this.repeatedly('participant crashes', () =>
      this.random.pick(this.participants).crash(this.random.next() ** 2 * 5_000),
    );
    if (faults.has('log is copied')) this.atRandom(0.7, () => this.copyLog());
    if (faults.has('participant ends heuristically')) {
      for (let number = 0; number < 20; number++) {
        this.atRandom(1, () => this.random.pick(this.participants).endHeuristically());
      }
    }
    this.queue.after(settings.healAt, () => this.heal());
  }

  /** Once the first coordinator has had the time to start, but before things heal. */
  private atRandom(until: number, action: () => void): void {
    this.queue.after(100 + this.random.next() * (this.settings.healAt - 150) * until, action);
  }

  private repeatedly(fault: Parameters<Faults['times']>[0], action: () => void): void {
    for (let times = this.faults.times(fault); times > 0; times--) {
      this.atRandom(1, () => {
        this.witnesses.count(fault);
        action();
      });
    }
  }

  private startClient(): void {
    const ready = this.processes.filter(({ isReady }) => isReady);
    if (ready.length === 0) {
      this.witnesses.count('caller finds no coordinator');
      return;
    }
    const process = this.random.pick(ready);
    process.after(0, () => new Client(this, process).start());
  }

  private withSomeProcess(action: (process: CoordinatorProcess) => void): void {
    const ready = this.processes.filter(({ isReady }) => isReady);
    if (ready.length > 0) action(this.random.pick(ready));
  }

  /** Another process takes the place of one that it takes for dead. */
  usurp(process: CoordinatorProcess, pauses: boolean): void {
    const { random } = this;
    if (pauses) process.pause(random.next() * 8_000);
    this.queue.after(random.next() * 500, () => {
      if (!this.faults.areOver) this.startCoordinator();
    });
  }

  private heal(): void {
    this.say('world', 'heals');
    this.faults.heal();
    for (const participant of this.participants) participant.start();
    const owner = this.processes.find(({ isReady, epoch }) => isReady && epoch === this.storage.epoch);
    const mayRestart = this.processes.length > 1 && this.random.chance(0.3);
    const restarts = owner !== undefined && (mayRestart || owner.isLogBroken);
    for (const process of this.processes) if (process !== owner || restarts) process.crash();
    if (owner === undefined || restarts) this.startCoordinator();
    else owner.resume();
    this.queue.inBackground(CHECK_INTERVAL_MS, this.checkConvergence);
  }

  private restart(): void {
    for (const process of this.processes) process.crash();
    this.startCoordinator();
  }

  private readonly checkConvergence = (): void | true => {
    const left = leftovers(this);
    if (left === undefined) {
      this.isOver = true;
      return;
    }
    if (left === END_LOST) this.restart();
    if (this.queue.now > this.settings.healAt + CONVERGES_WITHIN_MS) {
      this.judge.violate(`it does not converge: ${left}`);
    } else {
      this.queue.inBackground(CHECK_INTERVAL_MS, this.checkConvergence);
      return true;
    }
  };
}
