import type { Clock } from '../execution/clock.js';
import { LATE, type TimeLimits } from '../execution/time-limits.js';
import type { LogMembers, MemberLease, Renewal } from '../log/shared-log.js';
import { RENEWALS_IN_A_LEASE, unsuspectedMs } from './suspicion.js';

/** Two renewals that are further apart than this number of intervals leave a gap. */
const GAP_INTERVALS = 2;

/**
 * Renews the lease of a member at a fixed pace, one renewal at a time. It knows for how long the renewals
 * have had no gap.
 */
export class Lease {
  /** The time between two renewals, in milliseconds. */
  readonly intervalMs: number;
  private dueAt = 0;
  private isRenewing = false;
  /**
   * The start of the present row of renewals that were all answered in time; undefined when the last one was
   * not.
   */
  private steadySince: number | undefined;
  private answeredAt: number | undefined;
  /** When the latest answered renewal was sent. The log has renewed the lease at this moment or later. */
  private renewedSince: number | undefined;

  /** @param leaseMs the length of a lease, in milliseconds. */
  constructor(
    private readonly members: LogMembers,
    private readonly clock: Clock,
    private readonly timeLimits: TimeLimits,
    private readonly leaseMs: number,
  ) {
    this.intervalMs = leaseMs / RENEWALS_IN_A_LEASE;
  }

  /** Whether the next renewal is due and no renewal is under way. */
  isDue(now: number): boolean {
    return !this.isRenewing && this.dueAt <= now;
  }

  /** Whether all renewals of one full lease were answered in time. */
  isSteady(now: number): boolean {
    return this.steadySince !== undefined && now - this.steadySince >= this.leaseMs;
  }

  /** Whether the last answer is so old that other members may soon take this one for dead. */
  isAtRisk(now: number): boolean {
    return this.answeredAt === undefined || now - this.answeredAt > this.leaseMs / 2;
  }

  /**
   * Until this moment, on the clock, no other member can have taken this one for dead. 0 before the first
   * renewal.
   */
  get heldUntil(): number {
    return this.renewedSince === undefined ? 0 : this.renewedSince + unsuspectedMs(this.leaseMs);
  }

  /** Stops the renewals. From now on others may adopt the epoch. */
  giveUp(): void {
    this.renewedSince = undefined;
  }

  /** Another attempt takes the place of a renewal, so the next renewal is due after one interval. */
  wait(): void {
    this.dueAt = this.clock.now() + this.intervalMs;
  }

  /** From now on the member has another epoch. */
  startAgain(): void {
    this.steadySince = undefined;
    this.answeredAt = undefined;
    this.renewedSince = undefined;
    this.dueAt = 0;
  }

  /**
   * Renews the lease once.
   *
   * @throws (as a rejection) the error of the log, or an error that says that no answer came within one
   * interval.
   */
  async renew(lease: MemberLease): Promise<Renewal> {
    const sentAt = this.clock.now();
    this.isRenewing = true;
    this.dueAt = sentAt + this.intervalMs;
    try {
      const renewal = await this.timeLimits.within(this.members.renew(lease), this.intervalMs);
      // The process may have been stopped meanwhile: then the answer arrived in time and was read too late.
      if (renewal === LATE || this.clock.now() - sentAt > this.intervalMs)
        throw new Error(`the log has not renewed the lease within ${this.intervalMs} ms`);
      this.renewed(sentAt);
      return renewal;
    } catch (error) {
      this.steadySince = undefined;
      throw error;
    } finally {
      this.isRenewing = false;
    }
  }

  private renewed(sentAt: number): void {
    const { answeredAt } = this;
    this.answeredAt = this.clock.now();
    this.renewedSince = sentAt;
    // A process that was stopped has not renewed its lease meanwhile.
    const isGap = answeredAt === undefined || sentAt - answeredAt > GAP_INTERVALS * this.intervalMs;
    if (isGap || this.steadySince === undefined) this.steadySince = this.answeredAt;
  }
}
