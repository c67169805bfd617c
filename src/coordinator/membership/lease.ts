import type { Clock } from '../execution/clock.js';
import { LATE, type TimeLimits } from '../execution/time-limits.js';
import type { LogMembers, MemberLease, Renewal } from '../log/shared-log.js';
import { RENEWALS_IN_A_LEASE, unsuspectedMs } from './suspicion.js';

/** Two renewals that are further apart than this many intervals leave a gap. */
const GAP_INTERVALS = 2;

/** Renews the lease of a member at a fixed pace, one renewal at a time, and knows for how long it has done so without a gap. */
export class Lease {
  /** The time between two renewals, in milliseconds. */
  readonly intervalMs: number;
  private dueAt = 0;
  private isRenewing = false;
  /** Since when each renewal was answered in time; undefined when the last one was not. */
  private steadySince: number | undefined;
  private answeredAt: number | undefined;
  /** When the latest renewal that was answered was sent: the log has renewed the lease since. */
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

  /** Whether it is time for the next renewal, and none is under way. */
  isDue(now: number): boolean {
    return !this.isRenewing && this.dueAt <= now;
  }

  /** Whether every renewal was answered in time for one full lease. */
  isSteady(now: number): boolean {
    return this.steadySince !== undefined && now - this.steadySince >= this.leaseMs;
  }

  /** Whether no renewal was answered for so long that the others may take this member for dead soon. */
  isAtRisk(now: number): boolean {
    return this.answeredAt === undefined || now - this.answeredAt > this.leaseMs / 2;
  }

  /** Until when no other member can have taken this one for dead, on the clock; before the first renewal nothing is known. */
  get heldUntil(): number {
    return this.renewedSince === undefined ? 0 : this.renewedSince + unsuspectedMs(this.leaseMs);
  }

  /** It is not renewed any more, and others may adopt the epoch from now on. */
  giveUp(): void {
    this.renewedSince = undefined;
  }

  /** Something else is tried now in place of a renewal: the next one is due in one interval. */
  wait(): void {
    this.dueAt = this.clock.now() + this.intervalMs;
  }

  /** The member has another epoch from now on. */
  startAgain(): void {
    this.steadySince = undefined;
    this.answeredAt = undefined;
    this.renewedSince = undefined;
    this.dueAt = 0;
  }

  /**
   * Renews the lease once.
   *
   * @throws (as a rejection) what is wrong, or that there was no answer within one interval.
   */
  async renew(lease: MemberLease): Promise<Renewal> {
    const sentAt = this.clock.now();
    this.isRenewing = true;
    this.dueAt = sentAt + this.intervalMs;
    try {
      const renewal = await this.timeLimits.within(this.members.renew(lease), this.intervalMs);
      // The process may have stood still meanwhile: then the answer came in time, and is old.
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
    // A process that has stood still has not renewed meanwhile.
    const isGap = answeredAt === undefined || sentAt - answeredAt > GAP_INTERVALS * this.intervalMs;
    if (isGap || this.steadySince === undefined) this.steadySince = this.answeredAt;
  }
}
