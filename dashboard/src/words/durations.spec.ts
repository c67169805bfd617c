import { describe, expect, it } from 'vitest';
import { formatAge, formatDuration, formatSetting } from './durations.js';

describe('durations', () => {
  it.each([
    [0, '0 ms'],
    [4.234, '4.2 ms'],
    [839.6, '840 ms'],
    [999.6, '1.0 s'],
    [12_400, '12.4 s'],
    [59_960, '59 s'],
    [192_000, '3 min 12 s'],
  ])('of %d ms are measured as %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  it.each([
    [250, '250 ms'],
    [2_000, '2 s'],
    [2_500, '2.5 s'],
  ])('of %d ms are set as %s', (ms, text) => {
    expect(formatSetting(ms)).toBe(text);
  });

  it.each([
    [-5, '0 s'],
    [12_999, '12 s'],
    [61_000, '1 min 01 s'],
    [7_500_000, '2 h 05 min'],
    [100_000_000, '1 d 03 h'],
  ])('of %d ms are ages of %s', (ms, text) => {
    expect(formatAge(ms)).toBe(text);
  });
});
