import { describe, expect, it } from 'vitest';
import type { Overview } from '../api/views.js';
import { type Sample, ratesOf, withSample } from './rates.js';

function samplesOf(
  ...counts: [second: number, committed: number, aborted: number, epoch?: number][]
): readonly Sample[] {
  return counts.reduce<readonly Sample[]>((samples, [second, committed, aborted, epoch = 1]) => {
    const coordinator = { epoch, startedAt: '2026-01-01T00:00:00Z', statistics: { committed, aborted } };
    const at = new Date(second * 1000).toISOString();
    return withSample(samples, { at, coordinator } as unknown as Overview);
  }, []);
}

describe('rates', () => {
  it('are differences of counts by the time between them', () => {
    const rates = ratesOf(samplesOf([0, 100, 10], [1, 150, 10], [3, 250, 14]));
    expect(rates.map(({ committed, aborted }) => [committed, aborted])).toEqual([
      [50, 0],
      [50, 4 / 3],
    ]);
  });

  it('are the mean of five seconds', () => {
    const steps = [0, 0, 0, 100, 100, 100, 100, 150];
    const samples = samplesOf(
      ...steps.map((count, second) => [second, count, 0] as [number, number, number]),
    );
    expect(ratesOf(samples).at(-1)?.committed).toBe(30);
  });

  it('are not known from one sample', () => {
    expect(ratesOf([])).toEqual([]);
    expect(ratesOf(samplesOf([0, 100, 10]))).toEqual([]);
  });

  it('are not computed from two moments that are almost equal', () => {
    expect(ratesOf(samplesOf([0, 0, 0], [0.02, 40, 0]))).toEqual([]);
  });

  it('start again with another process, whose counts start at 0', () => {
    expect(samplesOf([0, 100, 10], [1, 110, 10], [2, 3, 0])).toHaveLength(1);
    expect(samplesOf([0, 100, 10], [1, 110, 10, 2])).toHaveLength(1);
  });

  it('keep two minutes', () => {
    const many = Array.from({ length: 300 }, (_, second): [number, number, number] => [second, second, 0]);
    expect(samplesOf(...many)).toHaveLength(121);
  });
});
