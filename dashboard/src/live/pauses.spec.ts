import { describe, expect, it } from 'vitest';
import { pauseAfter } from './pauses.js';

describe('the pauses between two attempts to connect', () => {
  it('double, up to half a minute', () => {
    const pauses = [1, 2, 3, 4, 5, 6, 60].map((failures) => pauseAfter(failures, () => 0));
    expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  });

  it('differ by up to a half', () => {
    expect(pauseAfter(3, () => 1)).toBe(2_000);
  });
});
