import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoffMs } from './backoff.js';

const SEED = 20_260_802;

describe('backoffMs', () => {
  it('doubles the longest pause with each failure, up to the cap', () => {
    const longest = [1, 2, 3, 4, 5, 6, 100].map((failures) => backoffMs(failures, 50, 1_000, 1));

    expect(longest).toEqual([50, 100, 200, 400, 800, 1_000, 1_000]);
  });

  it('is spread over the whole range: full jitter', () => {
    expect(backoffMs(3, 50, 5_000, 0)).toBe(0);
    expect(backoffMs(3, 50, 5_000, 0.25)).toBe(50);
    expect(backoffMs(3, 50, 5_000, 0.5)).toBe(100);
  });

  it(`stays from 0 to the cap for any number of failures (seed ${SEED})`, () => {
    const property = fc.property(
      fc.integer({ min: 1, max: 1_000_000 }),
      fc.integer({ min: 1, max: 86_400_000 }),
      fc.integer({ min: 1, max: 86_400_000 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (failures, baseMs, capMs, random) => {
        const pauseMs = backoffMs(failures, baseMs, capMs, random);
        expect(pauseMs).toBeGreaterThanOrEqual(0);
        expect(pauseMs).toBeLessThanOrEqual(capMs);
        expect(backoffMs(failures + 1, baseMs, capMs, random)).toBeGreaterThanOrEqual(pauseMs);
      },
    );
    fc.assert(property, { seed: SEED, numRuns: 2_000 });
  });
});
