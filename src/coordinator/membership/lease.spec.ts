import { describe, expect, it } from 'vitest';
import { TimeLimits } from '../execution/time-limits.js';
import type { LogMembers, MemberEpoch, Renewal } from '../log/shared-log.js';
import { ManualClock } from '../testing/index.js';
import { Lease } from './lease.js';
import { RENEWALS_IN_A_LEASE, mayAdopt, unsuspectedMs } from './suspicion.js';

const LEASE_MS = 5_000;
const TOLD = { member: 'one', address: null, draining: false };
const RENEWAL: Renewal = { mustRestart: null, serverUptimeMs: 60_000, format: 1, epochs: [] };

function leaseOf(renew: LogMembers['renew'] = () => Promise.resolve(RENEWAL)) {
  const clock = new ManualClock();
  const timeLimits = new TimeLimits(clock);
  const lease = new Lease({ renew } as LogMembers, clock, timeLimits, LEASE_MS);
  /** Renews at its pace for so long. */
  const renewFor = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += lease.intervalMs) {
      await lease.renew(TOLD);
      await clock.advance(lease.intervalMs);
    }
  };
  return { clock, timeLimits, lease, renewFor };
}

describe('The lease of a member', () => {
  it('is steady when every renewal was answered in time for one full lease, and not before', async () => {
    const { clock, lease, renewFor } = leaseOf();
    await renewFor(LEASE_MS - lease.intervalMs);
    expect(lease.isSteady(clock.now())).toBe(false);
    await renewFor(lease.intervalMs);
    expect(lease.isSteady(clock.now())).toBe(true);
  });

  it('is not steady for one more lease after its process has stood still', async () => {
    const { clock, lease, renewFor } = leaseOf();
    await renewFor(LEASE_MS);
    await clock.advance(2 * LEASE_MS);
    await lease.renew(TOLD);
    expect(lease.isSteady(clock.now())).toBe(false);

    await renewFor(LEASE_MS - lease.intervalMs);
    expect(lease.isSteady(clock.now())).toBe(false);
    await renewFor(lease.intervalMs);
    expect(lease.isSteady(clock.now())).toBe(true);
  });

  it('is not steady after a renewal that failed', async () => {
    let isDown = false;
    const { clock, lease, renewFor } = leaseOf(() =>
      isDown ? Promise.reject(new Error('the log is down')) : Promise.resolve(RENEWAL),
    );
    await renewFor(LEASE_MS);
    isDown = true;
    await expect(lease.renew(TOLD)).rejects.toThrow('the log is down');
    isDown = false;
    await lease.renew(TOLD);
    expect(lease.isSteady(clock.now())).toBe(false);
  });

  it('is held for sure from when the renewal was sent until others may suspect its member, and not before the first', async () => {
    const answer = Promise.withResolvers<Renewal>();
    const { clock, lease } = leaseOf(() => answer.promise);
    await clock.advance(700);
    expect(lease.heldUntil).toBe(0);
    const sentAt = clock.now();
    const renewing = lease.renew(TOLD);
    await clock.advance(lease.intervalMs / 2);
    expect(lease.heldUntil).toBe(0);
    answer.resolve(RENEWAL);
    await renewing;
    expect(lease.heldUntil).toBe(sentAt + unsuspectedMs(LEASE_MS));
    lease.startAgain();
    expect(lease.heldUntil).toBe(0);
  });

  it.each([300, 2_000, 5_000, 60_000])(
    'of %i ms is held for sure only while no other member may adopt',
    (leaseMs) => {
      const judgement = { own: 2, isSteady: true, leaseMs };
      const member = (ageMs: number, isLockHeld: boolean): MemberEpoch => ({
        ...TOLD,
        epoch: 1,
        token: 't',
        formats: { first: 1, last: 1 },
        ageMs,
        isLockHeld,
        isFenced: false,
        isPresumable: true,
        adoptedBy: null,
      });
      const sureMs = unsuspectedMs(leaseMs);
      expect(sureMs).toBeGreaterThan(leaseMs / RENEWALS_IN_A_LEASE);
      for (const isLockHeld of [true, false])
        expect(mayAdopt(member(sureMs, isLockHeld), RENEWAL, judgement)).toBe(false);
      expect(mayAdopt(member(sureMs + 1, false), RENEWAL, judgement)).toBe(true);
    },
  );

  it('takes no answer that came while its process stood still', async () => {
    const answer = Promise.withResolvers<Renewal>();
    const { clock, lease } = leaseOf(() => answer.promise);
    const renewing = lease.renew(TOLD);
    await clock.advance(lease.intervalMs + 1);
    answer.resolve(RENEWAL);
    await expect(renewing).rejects.toThrow(`within ${lease.intervalMs} ms`);
    expect(lease.isAtRisk(clock.now())).toBe(true);
  });
});
