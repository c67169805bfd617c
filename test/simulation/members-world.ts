import { type KnownOutcome, originOf } from '../../src/coordinator/index.js';
import type { SharedDecisionLog } from '../../src/coordinator/log/shared-log.js';
import {
  type EpochRow,
  SharedMemoryStore,
  type SharedTables,
} from '../../src/coordinator/testing/shared-memory-store.js';
import { LOG_ID } from '../support/identity.js';
import type { Entry } from './account.js';
import { compareEnds } from './convergence.js';
import { MEMBER_FAULTS } from './faults.js';
import { leftoversOfMembers } from './member-convergence.js';
import { MemberProcess } from './member-process.js';
import { Failover } from './failover.js';
import type { CoordinatorProcess } from './process.js';
import { drawSettingsOfMembers } from './settings.js';
import { World, type WorldOptions } from './world.js';

/** The most processes that are started before everything heals. */
const MAX_PROCESSES = 10;
/** How often callers ask a member about a transaction, whichever member has begun it. */
const MAX_INQUIRIES = 30;
/** A member acts on a renewal that was sent and answered within one interval each. */
const KNOWN_WITHIN_LEASES = 0.45;
/**
 * After this time every living member has renewed its lease without a gap since everything healed, and the
 * leases of the dead are over.
 */
const STEADIES_WITHIN_LEASES = 1.5;
const SETTLES_WITHIN_MS = 2_000;
/** A member that lives asks the log after so long at the latest whether it has a record of its own. */
const ASKS_AGAIN_WITHIN_MS = 10_000;

export interface MembersWorldOptions extends WorldOptions {
  /** Puts something else in the place of the log of a member, to plant a defect. */
  readonly plantInMember?: ((log: SharedDecisionLog) => SharedDecisionLog) | undefined;
}

/** A world in which two to four members decide at the same time, and share one log. */
export class MembersWorld extends World<MemberProcess> {
  private readonly failover = new Failover(this);
  readonly store = new SharedMemoryStore({
    now: () => this.queue.now,
    logId: LOG_ID,
    synchronousStandbys: this.failover.isSynchronous,
  });
  /**
   * The transactions of which the log has got a record or an outcome since the last start and the last fence,
   * in that order.
   */
  readonly landed = new Set<string>();
  /**
   * Since when each branch was seen to be prepared after everything healed, and when a living member last had
   * it.
   */
  private readonly preparedSince = new Map<Entry, { readonly since: number; ownedAt: number }>();
  private restartedAt = 0;
  /** From when on the members have the time to renew their leases without a gap. */
  private undisturbedAt = 0;
  private inquiry: Promise<void> | undefined;
  private isAnswered = false;

  constructor(private readonly options: MembersWorldOptions) {
    super(options, { faults: MEMBER_FAULTS, isShared: true, settings: drawSettingsOfMembers });
    this.planSafetyPhase();
  }

  /** The log of a member, as the member sees it. */
  logFor(log: SharedDecisionLog): SharedDecisionLog {
    return this.options.plantInMember?.(log) ?? log;
  }

  /** The content of the log. */
  get tables(): SharedTables {
    return this.store.of('c');
  }

  /** The members that are at work, and those that have yet to start. */
  get living(): MemberProcess[] {
    return this.processes.filter(({ isAlive }) => isAlive);
  }

  /** Whether the log may have lost the decision of a transaction, so that only a person can decide. */
  isUndecidable(transactionId: string): boolean {
    const row = this.tables.epochs.get(originOf(transactionId)!.epoch);
    return row !== undefined && !this.tables.isPresumable(row);
  }

  /**
   * Whether the next request with the key of a transaction takes that key. An epoch that could not be
   * presumed when it was adopted after a failover can be once its owner has looked at its mark: no adoption
   * frees its keys.
   */
  isKeyFree(transactionId: string): boolean {
    return this.failover.hasHappened && this.tables.outcomeOf(transactionId).outcome === 'aborted';
  }

  /** The server of the log starts again, as the same one or as another. */
  serverRestarts(): void {
    this.restartedAt = this.queue.now;
  }

  /** A person starts a process again. */
  restartMember(process: MemberProcess): void {
    this.undisturbedAt = this.queue.now;
    process.crash();
    this.startMember();
  }

  /**
   * No other member has adopted the transaction, as far as leases go: a fence that nothing led to is another
   * matter.
   */
  override decidesNow(transactionId: string): void {
    const fencedBy = this.tables.epochs.get(originOf(transactionId)!.epoch)?.fencedBy ?? null;
    if (fencedBy !== null && fencedBy !== 0)
      this.judge.violate(`${transactionId}: a last resource is called by a member that was fenced`);
    if (fencedBy === 0) this.witnesses.count('last resource called under a fence without a cause');
  }

  /** A member pauses. The others are there. */
  override usurp(process: CoordinatorProcess): void {
    process.pause(this.random.next() * 3 * this.settings.options.leaseMs);
  }

  /** A member fences another epoch, and takes it over. */
  adopts(adopter: MemberProcess, epoch: number): void {
    this.witnesses.count('epoch adopted');
    for (const [id, { record, endedAt }] of this.tables.decisions) {
      if (endedAt === null && record?.members !== undefined && originOf(id)!.epoch === epoch)
        this.witnesses.count('group restored');
    }
    // A standby that lacks a record lacks all that the log has got later.
    this.landed.clear();
    const owner = this.processes.find((one) => one.isReady && one.ownEpoch === epoch);
    const row = this.tables.epochs.get(epoch);
    const { leaseMs } = this.settings.options;
    if (row === undefined || row.fencedBy !== null) return;
    this.checkLock(row, adopter);
    if (owner === undefined) return;
    const steadyMs = this.queue.now - row.renewedAt + KNOWN_WITHIN_LEASES * leaseMs;
    this.witnesses.count('member fenced while it lives');
    // A clock that was set while a renewal was under way makes an adopter believe that it has waited.
    // One that has ended its own run, as after a failover, renews nothing until it has a new epoch.
    const isAtWork = owner.runtime?.log.isLost === false;
    if (
      isAtWork &&
      owner.hasBeenSteadyFor(steadyMs) &&
      adopter.hasBeenSteadyFor(0) &&
      !this.faults.has('clock jumps forward')
    )
      this.judge.violate(`${adopter.label} takes ${owner.label} for dead, which lives and can reach the log`);
  }

  /**
   * A restart of the server has dropped the locks of all: that a lock is free says nothing of an owner that
   * renewed before.
   */
  private checkLock({ epoch, renewedAt }: EpochRow, adopter: MemberProcess): void {
    const { queue, restartedAt, settings, judge } = this;
    const { leaseMs } = settings.options;
    // The knowledge of the adopter is not older than that.
    const isKnown = queue.now - restartedAt > KNOWN_WITHIN_LEASES * leaseMs;
    if (isKnown && renewedAt <= restartedAt && queue.now - renewedAt <= leaseMs)
      judge.violate(
        `${adopter.label} takes epoch ${epoch} for dead, of which a restart has dropped the lock`,
      );
  }

  protected override replace(): void {
    const { length } = this.living;
    if (length === 0 || (this.processes.length < MAX_PROCESSES && this.random.chance(0.7)))
      this.startMember();
  }

  private startMember(): void {
    const process = new MemberProcess(this, this.processes.length + 1);
    this.processes.push(process);
    process.start();
  }

  private planSafetyPhase(): void {
    const { settings, random } = this;
    for (let number = 0; number < settings.members; number++)
      this.queue.after(random.next() * 200, () => this.startMember());
    this.planClients();
    this.repeatedly('coordinator crashes', () => this.withSomeProcess((it) => this.crashCoordinator(it)));
    this.planClockJumps();
    this.planMembers();
    this.planLog();
    this.planParticipants();
    if (this.faults.isCalm) return;
    this.failover.plan();
    for (let times = random.whole(0, MAX_INQUIRIES); times > 0; times--)
      this.atRandom(1, () => this.askSome());
  }

  private planMembers(): void {
    const { random } = this;
    const { leaseMs } = this.settings.options;
    const some = (action: (process: MemberProcess) => void) => () => this.withSomeProcess(action);
    this.repeatedly(
      'member pauses beyond the lease',
      some((it) => it.pause(random.between(0.5, 4) * leaseMs)),
    );
    this.repeatedly(
      'member is cut from the log',
      some((it) => it.cutFromLog(random.between(0.1, 4) * leaseMs)),
    );
    this.repeatedly(
      'member is fenced while it lives',
      some((it) => it.fence()),
    );
    this.repeatedly(
      'member leaves',
      some((it) => void it.leave()),
    );
    this.repeatedly('member joins', () => {
      if (this.processes.length < MAX_PROCESSES) this.startMember();
    });
  }

  private planLog(): void {
    const { random, store, queue } = this;
    const { leaseMs } = this.settings.options;
    const down = (ms: number): void => {
      this.say('log', 'is down');
      store.isDown = true;
      queue.after(ms, () => {
        store.isDown = false;
      });
    };
    this.repeatedly('log is down', () => down(random.between(10, 500)));
    this.repeatedly('log is down beyond the lease', () => {
      const ms = random.between(1, 2) * leaseMs;
      down(ms);
      // One that stands still meanwhile knows of nothing when it goes on, perhaps before the others have
      // renewed.
      if (random.chance(0.5)) this.withSomeProcess((it) => it.pause(ms + (random.next() * leaseMs) / 5));
    });
    this.repeatedly('log is restarted', () => {
      if (random.chance(0.5)) down(random.next() * leaseMs);
      this.serverRestarts();
      store.restart();
    });
  }

  /** A caller asks any member about any transaction. */
  private askSome(): void {
    const ids = [...this.judge.cases.keys()];
    if (ids.length === 0) return;
    const id = this.random.pick(ids);
    this.withSomeProcess((it) => it.after(0, () => void this.ask(it, id)));
  }

  private async ask(process: MemberProcess, id: string): Promise<KnownOutcome> {
    const known = await process.transactions!.outcomeOf(id);
    if (process.isAlive) {
      if (this.transcript.isOn) this.say(process.label, `says of ${id}: ${known.status}`);
      this.judge.asked(process.label, known);
    }
    return known;
  }

  protected override heal(): void {
    this.say('world', 'heals');
    this.faults.heal();
    this.store.isDown = false;
    for (const participant of this.participants) participant.start();
    for (const process of this.processes) {
      process.land();
      process.reconnect();
      process.resume();
    }
    if (this.living.every(({ isLeaving }) => isLeaving) || this.random.chance(0.2)) this.startMember();
    this.healed();
  }

  protected override leftovers(): string | undefined {
    if (this.isAnswered) return undefined;
    this.failover.operate();
    this.checkPrepared();
    const left = leftoversOfMembers(this);
    if (left !== undefined) return left;
    this.inquiry ??= this.askAll();
    return 'the members are asked';
  }

  /**
   * No branch stays prepared for longer than a lease and two seconds, once the members have had the time to
   * renew their own leases, and the dead that to lose theirs.
   */
  private checkPrepared(): void {
    const { queue, settings, participants, judge, living } = this;
    const alive = new Set(living.map(({ ownEpoch }) => ownEpoch));
    const { leaseMs } = settings.options;
    const steadyAt = Math.max(settings.healAt, this.undisturbedAt) + STEADIES_WITHIN_LEASES * leaseMs;
    for (const { name, account } of participants) {
      for (const entry of account.prepared()) {
        const seen = this.preparedSince.get(entry) ?? { since: Math.max(queue.now, steadyAt), ownedAt: 0 };
        this.preparedSince.set(entry, seen);
        const isOwned = alive.has(originOf(entry.transactionId)!.epoch);
        // It waits for a person as long as it is undecidable.
        if (isOwned || this.isUndecidable(entry.transactionId)) seen.ownedAt = queue.now;
        const since = Math.max(seen.since, steadyAt);
        const from = isOwned ? since + ASKS_AGAIN_WITHIN_MS : Math.max(since, seen.ownedAt);
        if (queue.now - from > leaseMs + SETTLES_WITHIN_MS)
          judge.violate(`${entry.key} has been prepared at ${name} for longer than a lease and two seconds`);
      }
    }
  }

  /**
   * Everything is at rest: any member answers for any transaction, and goes on to when outcomes are kept no
   * more.
   */
  private async askAll(): Promise<void> {
    const cases = [...this.judge.cases.values()];
    for (const isPurged of [false, true]) {
      if (isPurged) this.tables.purge(this.queue.now);
      for (const process of this.living) {
        const answers = await Promise.all(cases.map(({ id }) => this.ask(process, id)));
        for (const answer of answers) this.checkAnswer(process, answer, isPurged);
      }
    }
    compareEnds(this);
    this.isAnswered = true;
  }

  private checkAnswer(process: MemberProcess, known: KnownOutcome, isPurged: boolean): void {
    const { status, transactionId } = known;
    if (status === 'committed' || status === 'aborted') return;
    if (isPurged && status === 'unknown' && known.because === 'purged') return;
    if (status === 'unknown' && known.because === 'undecidable' && this.isUndecidable(transactionId)) return;
    const isOwner = (one: MemberProcess): boolean => status === 'elsewhere' && one.ownEpoch === known.owner;
    if (this.living.some((one) => one !== process && isOwner(one))) return;
    this.judge.violate(`${transactionId}: ${process.label} says ${JSON.stringify(known)} at the end`);
  }
}
