import { CoordinatorRuntime } from '../../src/coordinator/execution/coordinator-runtime.js';
import {
  type Clock,
  type DecisionLog,
  type LogClaim,
  ParticipantRegistry,
  TransactionManager,
} from '../../src/coordinator/index.js';
import { Groups } from '../../src/coordinator/groups/groups.js';
import { Recovery } from '../../src/coordinator/recovery/recovery.js';
import type { Action } from './event-queue.js';
import { Proxy } from './proxy.js';
import { Random } from './random.js';
import { Watcher } from './watcher.js';
import type { World } from './world.js';

export const RETRY_START_MS = 300;

/** The clock of one process: virtual time, from a beginning of its own. */
class ProcessClock implements Clock {
  readonly epochMs = 0;
  /** How often it was read: a sweep that finds nothing due reads it twice. */
  reads = 0;

  constructor(
    private readonly world: World,
    public offsetMs: number,
  ) {}

  now(): number {
    this.reads++;
    return this.world.queue.now + this.offsetMs;
  }
}

const READS_OF_AN_IDLE_SWEEP = 2;

/**
 * One process of the coordinator, from its start to its crash: the production code over simulated ports. All
 * that comes back to it goes through {@link after}: in a dead process nothing happens any more, and in one
 * that is paused nothing does until it goes on.
 */
export abstract class CoordinatorProcess {
  readonly label: string;
  isAlive = true;
  epoch = 0;
  transactions: TransactionManager | undefined;
  runtime: CoordinatorRuntime | undefined;
  /** Callers that wait for their outcome. */
  waiting = 0;
  /** Whether its log takes and says nothing more. */
  isLogBroken = false;
  /** The transactions whose records the broken log may have. */
  readonly undecidable = new Set<string>();
  private readonly clock: ProcessClock;
  private readonly coordinatorRandom: Random;
  private isPaused = false;
  private held: Action[] = [];
  protected recovery: Recovery | undefined;
  private pass: Promise<void> | undefined;

  constructor(
    private readonly world: World,
    number: number,
  ) {
    this.label = `c${number}`;
    this.clock = new ProcessClock(world, world.random.between(1, 10_000));
    this.coordinatorRandom = new Random(world.seed, 100 + number);
  }

  get isReady(): boolean {
    return this.isAlive && this.transactions !== undefined;
  }

  /** A point in the middle of a step, between any two things that others can see of it. */
  mayFail(): void {
    const { faults } = this.world;
    if (!this.isAlive || this.isPaused) return;
    if (faults.strikes('coordinator crashes in the middle of a step')) this.world.crashCoordinator(this);
    else if (faults.strikes('coordinator pauses in the middle of a step')) this.world.usurp(this, true);
  }

  /** Plans something that happens in this process. */
  after(delayMs: number, action: () => void): void {
    this.world.queue.after(delayMs, () => this.happen(action));
  }

  /** As {@link after}, for what comes again and again. */
  inBackground(delayMs: number, action: () => void): void {
    this.world.queue.inBackground(delayMs, () => this.happen(action));
  }

  start(): void {
    this.world.say(this.label, 'starts');
    const log = this.makeLog();
    void Promise.resolve(log.open('c')).then(
      (claim) => this.boot(claim, log),
      () => this.after(RETRY_START_MS, () => this.start()),
    );
  }

  crash(): void {
    if (!this.isAlive) return;
    this.world.say(this.label, 'crashes');
    this.isAlive = false;
    this.held = [];
    for (const participant of this.world.participants) participant.loses();
  }

  pause(ms: number): void {
    if (!this.isAlive || this.isPaused) return;
    this.world.say(this.label, 'is paused');
    this.isPaused = true;
    this.world.queue.after(ms, () => this.resume());
  }

  resume(): void {
    if (!this.isAlive || !this.isPaused) return;
    this.world.say(this.label, 'goes on');
    this.isPaused = false;
    const { held } = this;
    this.held = [];
    for (const action of held) this.world.queue.after(0, () => this.happen(action));
  }

  jumpAhead(ms: number): void {
    this.world.say(this.label, `has its clock set ${Math.round(ms)} ms ahead`);
    this.clock.offsetMs += ms;
  }

  private happen(action: Action): void | true {
    if (!this.isAlive) return;
    if (this.isPaused) this.held.push(action);
    else action();
  }

  private boot(claim: LogClaim, log: DecisionLog): void {
    const { world } = this;
    const { options } = world.settings;
    this.epoch = claim.epoch;
    const participants = new ParticipantRegistry(options);
    for (const participant of world.participants) {
      const { name, traits } = participant;
      const register = (): void => {
        const { prepareTimeoutMs, completionTimeoutMs } = traits;
        const proxy = new Proxy(participant, this, world);
        const limits = { name, prepareTimeoutMs, completionTimeoutMs };
        if (traits.lastResource === undefined) participants.register(proxy, limits);
        else participants.register(world.plantIn(proxy.asLastResource()), { ...limits, lastResource: true });
      };
      if (!this.isCopy && world.faults.strikes('participant is registered late'))
        this.after(world.random.between(0, 3_000), register);
      else register();
    }
    const { clock, coordinatorRandom } = this;
    this.runtime = new CoordinatorRuntime({
      options,
      participants,
      clock,
      random: () => coordinatorRandom.next(),
      log,
      claim,
      observer: new Watcher(world, this, () => clock.now()),
    });
    this.claim(participants, this.runtime, claim);
  }

  protected abstract makeLog(): DecisionLog;

  /** Whether it works with a copy of the log. */
  protected get isCopy(): boolean {
    return false;
  }

  /** Asks the participants whether they let this run in. */
  protected claim(_: ParticipantRegistry, runtime: CoordinatorRuntime, claim: LogClaim): void {
    this.takeUp(runtime, claim);
  }

  protected takeUp(runtime: CoordinatorRuntime, claim: LogClaim): void {
    const { world } = this;
    runtime.grouping = new Groups(runtime, (work) => this.after(0, work));
    this.transactions = new TransactionManager(runtime);
    this.recovery = new Recovery(runtime);
    world.witnesses.count('coordinator started');
    world.witnesses.count('decision restored', claim.decisions.length);
    const groups = claim.decisions.filter(({ members }) => members !== undefined);
    world.witnesses.count('group restored', groups.length);
    this.recovery.restore();
    this.recover();
    this.sweep();
    if (world.faults.strikes('coordinator crashes during recovery'))
      this.after(world.random.between(0, 200), () => world.crashCoordinator(this));
  }

  /** The periodic job of the deadlines. */
  private readonly sweep = (): void | true => {
    if (!this.isAlive) return true;
    this.world.queue.inBackground(this.world.settings.options.sweepIntervalMs, this.sweep);
    if (this.isPaused) return true;
    const { clock } = this;
    clock.reads = 0;
    this.runtime!.sweep();
    return clock.reads > READS_OF_AN_IDLE_SWEEP ? undefined : true;
  };

  /** The periodic job of the recovery, which runs once at a time. */
  private readonly recover = (): void | true => {
    if (!this.isAlive) return true;
    this.world.queue.inBackground(this.world.settings.options.recoveryIntervalMs, this.recover);
    if (this.isPaused) return true;
    // A pass that is cut into slices waits for a turn of the event loop, which only an event that counts
    // brings about.
    if (this.pass !== undefined) return;
    this.pass = this.recovery!.pass().finally(() => (this.pass = undefined));
  };
}
