import type { MemberEpoch, Renewal } from '../log/shared-log.js';

/** How often a member renews its lease, and tries to reach the log, within one lease. */
export const RENEWALS_IN_A_LEASE = 5;

/** A free lock counts only when the last renewal of its member is older than this. */
const LOCK_COUNTS_AFTER_MS = 1_000;
/**
 * It must also be older than this number of intervals: a member that had only lost its connection has then
 * had the time to come back.
 */
const LOCK_COUNTS_AFTER_RENEWALS = 1.5;

/** The facts from which a member concludes whether it may adopt an epoch. */
export interface Judgement {
  readonly own: number;
  /** Whether the member has renewed its own lease without a gap for one full lease. */
  readonly isSteady: boolean;
  /** The length of a lease, in milliseconds. */
  readonly leaseMs: number;
}

/**
 * Whether a member may adopt an epoch. Nothing here proves that the owner is dead: it is only a reason to
 * fence it.
 *
 * - An epoch that is fenced has no owner any more, unless a living member has adopted it.
 * - An epoch whose lease has expired, or whose lock is free, may have an owner that lives: the server of the
 *   log may have been restarted, or no member could reach it. So the member must have renewed its own lease
 *   for one full lease. By then every living member has renewed as well.
 */
export function mayAdopt(member: MemberEpoch, renewal: Renewal, judgement: Judgement): boolean {
  const { epoch, isFenced, adoptedBy } = member;
  const { own, isSteady } = judgement;
  if (epoch === own) return false;
  if (adoptedBy === own) return true;
  if (adoptedBy !== null) {
    // An epoch whose adopter is gone is adopted together with that adopter.
    const adopter = renewal.epochs.find((other) => other.epoch === adoptedBy);
    return adopter === undefined || adopter.isFenced;
  }
  return isFenced || (isSteady && isSuspect(member, renewal, judgement));
}

function isSuspect(
  { ageMs, isLockHeld }: MemberEpoch,
  { serverUptimeMs }: Renewal,
  { leaseMs }: Judgement,
): boolean {
  if (ageMs > leaseMs) return true;
  // A restart of the server drops the locks of all members.
  return !isLockHeld && ageMs < serverUptimeMs && ageMs > lockCountsAfterMs(leaseMs);
}

function lockCountsAfterMs(leaseMs: number): number {
  return Math.max(LOCK_COUNTS_AFTER_MS, (LOCK_COUNTS_AFTER_RENEWALS * leaseMs) / RENEWALS_IN_A_LEASE);
}

/**
 * @returns for how long after a renewal no other member suspects this one, even if its session ends; in
 * milliseconds.
 */
export function unsuspectedMs(leaseMs: number): number {
  return Math.min(leaseMs, lockCountsAfterMs(leaseMs));
}
