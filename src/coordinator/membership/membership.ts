import type { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import { LATE } from '../execution/time-limits.js';
import { textAt } from '../gate/failure.js';
import { messageOf } from '../gate/texts.js';
import type { LogClaim } from '../log/decision-log.js';
import type { LogMembers, MemberLease, Renewal, SharedDecisionLog } from '../log/shared-log.js';
import { Adoptions, type MemberReport, type TakesOver } from './adoptions.js';
import { Lease } from './lease.js';

/**
 * One member of a coordinator whose log is shared. It renews its lease, adopts the epochs of members that are
 * gone, and takes a new epoch when it was fenced. It has no timer: each sweep of the coordinator does what is
 * due.
 */
export class Membership {
  readonly lease: Lease;
  readonly adoptions: Adoptions;
  private readonly members: LogMembers;
  private isRenewing = false;
  private isAdopting = false;
  private isRaising = false;
  /** The pending return to work after a fence. */
  private returning: Promise<void> | undefined;
  /** Whether the transactions that were undecided at the fence have been dealt with. */
  private isAbandoned = false;
  private lastProblem: string | undefined;

  /**
   * @param recovery completes the transactions of adopted epochs.
   * @param report receives the messages for the log.
   */
  constructor(
    private readonly runtime: CoordinatorRuntime,
    shared: SharedDecisionLog,
    private readonly recovery: TakesOver,
    private readonly report: (report: MemberReport) => void = () => {},
  ) {
    const { timeLimits, parts } = runtime;
    const { clock, options } = parts;
    this.members = shared.members;
    this.lease = new Lease(shared.members, clock, timeLimits, options.leaseMs);
    const say = ({ level, message }: MemberReport): void => this.say(level, message);
    this.adoptions = new Adoptions(runtime, shared.members, recovery, say);
    runtime.log.ownUntil = () => this.lease.heldUntil;
    runtime.onSweep = (now) => this.sweep(now);
  }

  /** Starts the renewals of the lease. */
  start(): void {
    this.isRenewing = true;
  }

  /** Starts the adoptions: by now the participants have accepted this run. */
  takeOver(): void {
    this.isAdopting = true;
  }

  /**
   * Ends the adoptions. From now on the member takes no new epoch, but renews its lease until {@link leave}.
   */
  async stop(): Promise<void> {
    this.isAdopting = false;
    await this.adoptions.stop();
  }

  /**
   * Ends the epoch, so that another member adopts the rest at once.
   *
   * @returns a promise that resolves when the log has the end of the epoch, or has not answered within one
   * lease; it never rejects.
   */
  async leave(): Promise<void> {
    this.isRenewing = false;
    this.lease.giveUp();
    await this.stop();
    try {
      await this.returning;
      await this.within(this.members.leave(), 'the log has not taken the leave');
    } catch (error) {
      this.say(
        'warn',
        `This member could not leave, so the others wait for the end of its lease: ${messageOf(error)}`,
      );
    }
  }

  /** Does what is due. */
  private sweep(now: number): void {
    if (!this.isRenewing || this.returning !== undefined) return;
    if (!this.runtime.log.isLost) {
      if (this.lease.isDue(now)) void this.renew();
    } else if (!this.isAbandoned || (this.isAdopting && this.lease.isDue(now))) {
      this.returning = this.comeBack().finally(() => (this.returning = undefined));
    }
  }

  private async renew(): Promise<void> {
    const { log, parts } = this.runtime;
    const { run } = log;
    try {
      const renewal = await this.lease.renew(this.ownLease());
      if (run !== log.run) return;
      this.lastProblem = undefined;
      this.renewed(renewal);
    } catch (error) {
      if (run !== log.run) return;
      // One late renewal does not prove that the log is down. After half a lease without an answer no new
      // transaction should depend on the log.
      const hasEnded = ['DTC_FENCED', 'DTC_LOG_BEHIND'].includes(textAt(error, 'code') ?? '');
      if (hasEnded || this.lease.isAtRisk(parts.clock.now())) log.failed(error, run);
      this.failed('The lease was not renewed', error);
    }
  }

  private renewed(renewal: Renewal): void {
    const { runtime } = this;
    const { log, limits, members, parts } = runtime;
    members.see(renewal, parts.clock.now());
    limits.divide(({ participants }) =>
      members.divisionOf((epoch, since) => this.recovery.preparedBy(epoch, participants, since)),
    );
    runtime.forgetSettled();
    if (renewal.mustRestart !== null) {
      log.lose();
      return;
    }
    if (!this.isAdopting) return;
    void this.raiseFormat(renewal);
    const { leaseMs } = parts.options;
    const isSteady = this.lease.isSteady(parts.clock.now());
    this.adoptions.consider(renewal, { own: log.epoch, isSteady, leaseMs });
  }

  /**
   * Writes records in a newer format as soon as every member that can still write can read it. The log checks
   * this condition again.
   */
  private async raiseFormat({ format, epochs }: Renewal): Promise<void> {
    const known = epochs.flatMap(({ isFenced, formats }) => (isFenced ? [] : [formats.last]));
    const newest = Math.min(...known);
    if (known.length === 0 || newest <= format || this.isRaising) return;
    this.isRaising = true;
    try {
      const raised = await this.within(this.members.raiseFormat(newest), 'the log has not raised its format');
      if (raised > format) this.say('log', `Records of the log are written in format ${raised} from now on`);
    } catch (error) {
      this.failed('The format of the log was not raised', error);
    } finally {
      this.isRaising = false;
    }
  }

  /**
   * This member was fenced: it ends the transactions that it cannot decide any more, and takes a new epoch.
   */
  private async comeBack(): Promise<void> {
    const { runtime } = this;
    const { epoch } = runtime.log;
    this.lease.wait();
    try {
      if (!this.isAbandoned) await this.abandon();
      if (!this.isAdopting) return;
      const claim = await this.within(this.members.restart(), 'the log has given out no new epoch');
      this.goOn(claim);
      this.say('warn', `Epoch ${epoch} of this member was fenced. It goes on with epoch ${claim.epoch}`);
    } catch (error) {
      // The error may say that the log has lost records that it had acknowledged. Operators then need to know
      // why this member decides nothing.
      runtime.log.failed(error);
      this.failed('This member was fenced and has no new epoch', error);
    }
  }

  /**
   * Do not wait for a log that does not answer: the callers of the transactions that it has not answered are
   * told `pending`.
   */
  private async abandon(): Promise<void> {
    const { timeLimits, executor, parts } = this.runtime;
    await timeLimits.within(executor.abandon(), parts.options.leaseMs);
    this.isAbandoned = true;
  }

  private goOn(claim: LogClaim): void {
    const { runtime } = this;
    runtime.takeRun(claim);
    runtime.members.returns++;
    this.isAbandoned = false;
    this.lastProblem = undefined;
    this.lease.startAgain();
    this.adoptions.startAgain();
    void runtime.parts.participants.claimForNext(runtime.log.run);
  }

  private ownLease(): MemberLease {
    const { admission, parts } = this.runtime;
    const { memberName, memberAddress } = parts.options;
    return { member: memberName, address: memberAddress ?? null, draining: admission.isDraining };
  }

  private async within<T>(work: Promise<T>, problem: string): Promise<T> {
    const { leaseMs } = this.runtime.parts.options;
    const answer = await this.runtime.timeLimits.within(work, leaseMs);
    if (answer === LATE) throw new Error(`${problem} within ${leaseMs} ms`);
    return answer;
  }

  private failed(what: string, error: unknown): void {
    const problem = `${what}: ${messageOf(error)}`;
    if (problem === this.lastProblem) return;
    this.lastProblem = problem;
    this.say('warn', problem);
  }

  private say(level: MemberReport['level'], message: string): void {
    try {
      this.report({ level, message });
    } catch {
      // A logger that throws must not stop the renewals or end the process.
    }
  }
}
