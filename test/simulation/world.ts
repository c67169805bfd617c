import type { LastResource } from '../../src/coordinator/index.js';
import { Client } from './client.js';
import { EventQueue } from './event-queue.js';
import { type Fault, Faults } from './faults.js';
import { Grouping } from './grouping.js';
import { Judge } from './judge.js';
import { withLastResource } from './last-resources.js';
import { Network } from './network.js';
import { Participant } from './participant.js';
import type { CoordinatorProcess } from './process.js';
import { Random } from './random.js';
import type { Settings } from './settings.js';
import { Transcript } from './transcript.js';
import { Witnesses } from './witnesses.js';

/** The longest that a world may take to come to rest after everything is well, in virtual milliseconds. */
const CONVERGES_WITHIN_MS = 300_000;
/**
 * Not a whole number, because the recovery job's interval is one: in step with it, every check would come
 * while lists of branches are under way, and a world at rest would seem to be busy.
 */
const CHECK_INTERVAL_MS = 401.3;
/** More events than any world needs: one that reaches it runs in circles. */
const MAX_EVENTS = 200_000;

export interface WorldOptions {
  readonly seed: number;
  /** Whether it is written down what happens. */
  readonly transcript?: boolean;
  /** Whether participants prepare several transactions as one. @default false */
  readonly groups?: boolean | undefined;
  /** Whether there is a participant that cannot prepare. @default false */
  readonly lastResources?: boolean | undefined;
  /**
   * Whether that participant rules a late commit out when it says that it will never commit.
   *
   * @default true
   */
  readonly fences?: boolean | undefined;
  /** Puts something else in the place of a last resource, as a coordinator sees it, to plant a defect. */
  readonly plantInResource?: ((resource: LastResource) => LastResource) | undefined;
}

/** The properties that distinguish one kind of world from another. */
export interface WorldKind {
  /** Which faults may happen in it. */
  readonly faults: readonly Fault[];
  /** Whether several members share its log. */
  readonly isShared: boolean;
  settings(random: Random, faults: Faults): Settings;
}

/**
 * A small world with everything in it: coordinators, their log, participants, callers and a network between
 * them. One seed determines all that happens. First things go wrong; then everything heals, and it has to
 * converge.
 */
export abstract class World<P extends CoordinatorProcess = CoordinatorProcess> {
  readonly seed: number;
  readonly queue = new EventQueue();
  readonly random: Random;
  readonly witnesses = new Witnesses();
  readonly transcript: Transcript;
  readonly judge: Judge;
  readonly faults: Faults;
  readonly settings: Settings;
  readonly grouping: Grouping | undefined;
  readonly network: Network;
  readonly participants: readonly Participant[];
  readonly processes: P[] = [];
  private events = 0;
  private isOver = false;

  protected constructor(
    private readonly worldOptions: WorldOptions,
    kind: WorldKind,
  ) {
    const { seed, transcript = false, groups = false, lastResources = false, fences } = worldOptions;
    this.seed = seed;
    this.random = new Random(seed, 1);
    this.transcript = new Transcript(transcript, () => this.queue.now);
    this.judge = new Judge(this.transcript, this.witnesses, kind.isShared);
    this.faults = new Faults(kind.faults, this.random, this.witnesses);
    // To be seen twice proves something only if time has really passed between the two lists.
    if (this.faults.has('list of branches is stale')) this.faults.switchOff('clock jumps forward');
    const drawn = kind.settings(this.random, this.faults);
    const settings = lastResources ? withLastResource(seed, drawn, this.faults, fences) : drawn;
    this.grouping = groups ? Grouping.of(seed, settings, this.faults) : undefined;
    this.settings = this.grouping?.settings ?? settings;
    this.network = new Network(this);
    this.participants = this.settings.participants.map((traits) => new Participant(traits, this));
  }

  /**
   * Lets one event happen. Its immediate effects must end before the next event.
   *
   * @returns whether to go on.
   */
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

  /**
   * @returns the milliseconds after which an event with this limit is noticed, at the latest when everything
   * heals.
   */
  untilNoticed(maxMs: number): number {
    const ms = this.random.next() * maxMs;
    return Math.min(ms, Math.max(0, this.settings.healAt - this.queue.now) + this.random.next() * 500);
  }

  crashCoordinator(process: CoordinatorProcess): void {
    if (!process.isAlive || this.faults.areOver) return;
    process.crash();
    this.queue.after(this.random.next() * this.random.next() * 2_000, () => this.replace(process));
  }

  /** A participant has let a run in. */
  runLetIn(): void {}

  /** A coordinator calls a last resource for the first time. */
  decidesNow(_transactionId: string): void {}

  plantIn(resource: LastResource): LastResource {
    return this.worldOptions.plantInResource?.(resource) ?? resource;
  }

  /** A process stands still, or another one takes its place. */
  abstract usurp(process: CoordinatorProcess, pauses: boolean): void;

  /** Nothing goes wrong any more. */
  protected abstract heal(): void;

  /** A process has crashed a while ago. */
  protected abstract replace(process: CoordinatorProcess): void;

  /** @returns the work that is left to do, or undefined when there is none and never will be. */
  protected abstract leftovers(): string | undefined;

  protected healed(): void {
    this.queue.inBackground(CHECK_INTERVAL_MS, this.checkConvergence);
  }

  protected planClients(): void {
    for (let number = 0; number < this.settings.clients; number++)
      this.atRandom(0.9, () => this.startClient());
    for (const { pauses } of this.grouping?.bursts ?? []) this.atRandom(0.9, () => this.startClients(pauses));
  }

  protected planParticipants(): void {
    const { faults } = this;
    this.repeatedly('participant crashes', () =>
      this.random.pick(this.participants).crash(this.random.next() ** 2 * 5_000),
    );
    this.planMore();
    if (faults.has('participant ends heuristically')) {
      for (let number = 0; number < 20; number++) {
        this.atRandom(1, () => this.random.pick(this.participants).endHeuristically());
      }
    }
    this.queue.after(this.settings.healAt, () => this.heal());
  }

  /** Further faults. */
  protected planMore(): void {}

  protected planClockJumps(): void {
    this.repeatedly('clock jumps forward', () =>
      this.withSomeProcess((it) => it.jumpAhead(this.random.next() ** 3 * 20_000)),
    );
  }

  /** Once the first coordinator has had the time to start, but before things heal. */
  protected atRandom(until: number, action: () => void): void {
    this.queue.after(100 + this.random.next() * (this.settings.healAt - 150) * until, action);
  }

  protected repeatedly(fault: Fault, action: () => void): void {
    for (let times = this.faults.times(fault); times > 0; times--) {
      this.atRandom(1, () => {
        this.witnesses.count(fault);
        action();
      });
    }
  }

  protected withSomeProcess(action: (process: P) => void): void {
    const ready = this.processes.filter(({ isReady }) => isReady);
    if (ready.length > 0) action(this.random.pick(ready));
  }

  /** Clients that come to the same coordinator, one after the other. */
  private startClients(pauses: readonly number[]): void {
    this.withSomeProcess((process) => {
      let delayMs = 0;
      for (const pauseMs of pauses) {
        process.after((delayMs += pauseMs), () => new Client(this, process).start());
      }
    });
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

  private readonly checkConvergence = (): void | true => {
    const left = this.leftovers();
    if (left === undefined) {
      this.isOver = true;
      return;
    }
    if (this.queue.now > this.settings.healAt + CONVERGES_WITHIN_MS) {
      this.judge.violate(`it does not converge: ${left}`);
    } else {
      this.queue.inBackground(CHECK_INTERVAL_MS, this.checkConvergence);
      return true;
    }
  };
}
