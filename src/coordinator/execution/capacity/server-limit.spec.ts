import { describe, expect, it } from 'vitest';
import { ServerLimit } from './server-limit.js';

describe('The expected wait for room at a server', () => {
  /** Transactions with branches at this number of its three participants depart at this interval. */
  function busy(branches: number, everyMs: number): { readonly limit: ServerLimit; readonly now: number } {
    const limit = new ServerLimit('one', 900, 0);
    for (const name of ['first', 'second', 'third']) limit.participants.add(name);
    limit.take(900);
    for (let waiting = 0; waiting < 20; waiting++) limit.enqueue(branches, 1_000);
    let now = 1_000;
    for (let departed = 0; departed < 40; departed++) {
      now += everyMs - branches * 0.1;
      // Its branches acknowledge one after the other.
      for (let branch = 0; branch < branches; branch++) limit.free(1, (now += 0.1));
    }
    return { limit, now };
  }

  it.each([1, 2, 3])('is that of the transactions ahead, with %i branches each', (branches) => {
    const { limit, now } = busy(branches, 30);
    const waitMs = limit.expectedWaitMs(branches, now);
    expect(waitMs / (21 * 30)).toBeGreaterThan(0.75);
    expect(waitMs / (21 * 30)).toBeLessThan(1.25);
  });

  it('is shorter when those ahead have left, and unknown when none waits', () => {
    const { limit, now } = busy(3, 30);
    const before = limit.expectedWaitMs(3, now);
    for (let left = 0; left < 10; left++) limit.dequeue(3);
    expect(limit.expectedWaitMs(3, now) / before).toBeCloseTo(11 / 21);
    for (let left = 0; left < 10; left++) limit.dequeue(3);
    expect(limit.expectedWaitMs(3, now)).toBe(0);
  });
});
