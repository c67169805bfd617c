import type { CoordinatorRuntime } from '../../src/coordinator/execution/coordinator-runtime.js';
import type { DecisionLog, LogClaim } from '../../src/coordinator/index.js';
import { Membership } from '../../src/coordinator/membership/membership.js';
import { awaitsRecord } from '../../src/coordinator/protocol/index.js';
import { MemberLog } from './member-log.js';
import type { MembersWorld } from './members-world.js';
import { CoordinatorProcess } from './process.js';

/**
 * How often the server notices at once that a process is gone; else its lock stays until its lease is over.
 */
const IS_NOTICED = 0.7;

/** One member of a coordinator whose log several members share. */
export class MemberProcess extends CoordinatorProcess {
  private log: MemberLog | undefined;
  private membership: Membership | undefined;
  isLeaving = false;
  /** Until when something keeps it from its renewals, or did. */
  private disturbedUntil = 0;

  constructor(
    private readonly ownWorld: MembersWorld,
    number: number,
  ) {
    super(ownWorld, number);
  }

  /** The epoch that it works in, as it knows. */
  get ownEpoch(): number {
    return this.runtime?.log.epoch ?? 0;
  }

  /** Something keeps it from its renewals, from now on for so long. */
  isDisturbed(forMs = 0): void {
    this.disturbedUntil = Math.max(this.disturbedUntil, this.ownWorld.queue.now + forMs);
  }

  /** Whether it is at work, and nothing has kept it from its renewals for so long. */
  hasBeenSteadyFor(ms: number): boolean {
    return this.isReady && !this.isLeaving && this.ownWorld.queue.now - this.disturbedUntil > ms;
  }

  /**
   * Whether only a new start helps: the log has lost what it had acknowledged to this process, or may have
   * lost what an earlier run of it waits for.
   */
  get needsOperator(): boolean {
    const { runtime, ownWorld } = this;
    if (!this.isReady || runtime === undefined) return false;
    if (runtime.log.isBehind) return true;
    let isWaiting = false;
    runtime.registry.forEach((transaction) => {
      const isOpen = runtime.registry.isOfEarlierRun(transaction.id) && awaitsRecord(transaction);
      isWaiting ||= isOpen && ownWorld.isUndecidable(transaction.id);
    });
    return isWaiting;
  }

  /** Writes that were sent and have not reached the log arrive now. */
  land(): void {
    this.log?.land();
  }

  /** Nothing gets through between it and the log. Its session ends, if the server notices. */
  cutFromLog(ms: number): void {
    const { log, ownWorld: world } = this;
    if (!this.isReady || log === undefined) return;
    world.say(this.label, 'is cut from the log');
    log.isCut = true;
    this.isDisturbed(ms);
    if (world.random.chance(IS_NOTICED)) log.loseSession();
    world.queue.after(ms, () => this.reconnect());
  }

  reconnect(): void {
    if (this.log !== undefined) this.log.isCut = false;
  }

  /** Another one takes it for dead, and is wrong. */
  fence(): void {
    const row = this.ownWorld.tables.epochs.get(this.ownEpoch);
    if (!this.isReady || row === undefined) return;
    this.ownWorld.say(this.label, 'is fenced while it lives');
    this.isDisturbed();
    this.ownWorld.landed.clear();
    row.fencedBy ??= 0;
  }

  override pause(ms: number): void {
    this.isDisturbed(ms);
    super.pause(ms);
  }

  override jumpAhead(ms: number): void {
    this.isDisturbed();
    super.jumpAhead(ms);
  }

  override crash(): void {
    if (!this.isAlive) return;
    super.crash();
    if (this.ownWorld.random.chance(IS_NOTICED)) this.log?.loseSession();
  }

  /** A clean stop, in the order of the coordinator's lifecycle. */
  async leave(): Promise<void> {
    const { runtime, membership, recovery } = this;
    if (!this.isReady || this.isLeaving || runtime === undefined) return;
    this.isLeaving = true;
    this.ownWorld.say(this.label, 'leaves');
    const { admission, capacities, reruns, limits, registry, executor } = runtime;
    admission.close();
    capacities.close();
    reruns.close();
    limits.close();
    await this.withinGrace(Promise.all([registry.whenIdle(), membership!.stop(), recovery!.stop()]));
    registry.forEach((transaction) => {
      if (transaction.endedAt === 0 && !registry.unsettled.has(transaction))
        executor.stopWaiting(transaction);
    });
    await this.withinGrace(membership!.leave());
    this.crash();
  }

  protected override makeLog(): DecisionLog {
    this.log = new MemberLog(this, this.ownWorld);
    return this.ownWorld.logFor(this.log);
  }

  protected override takeUp(runtime: CoordinatorRuntime, claim: LogClaim): void {
    super.takeUp(runtime, claim);
    // Its claim may have been long on its way: it renews its lease from now on only.
    this.isDisturbed();
    const say = ({ message }: { readonly message: string }): void => this.ownWorld.say(this.label, message);
    this.membership = new Membership(runtime, runtime.log.shared!, this.recovery!, say);
    this.membership.start();
    this.membership.takeOver();
  }

  private async withinGrace(work: Promise<unknown>): Promise<void> {
    const { shutdownGraceMs } = this.ownWorld.settings.options;
    const grace = new Promise<void>((resolve) => this.after(shutdownGraceMs, resolve));
    await Promise.race([work, grace]);
  }
}
