import { describe, expect, it } from 'vitest';
import { Histogram } from './histogram.js';

function histogramOf(...values: number[]): Histogram {
  const histogram = new Histogram([10, 20, 50]);
  for (const value of values) histogram.observe(value);
  return histogram;
}

describe('Histogram', () => {
  it('puts a value into the first bucket that is not below it, and a value above all bounds into the last', () => {
    expect([...histogramOf(0, 10, 10.5, 20, 50, 51, 1e9).counts]).toEqual([2, 2, 1, 2]);
  });

  it('counts its values and their sum', () => {
    const histogram = histogramOf(1, 2.5, 100);

    expect(histogram.count).toBe(3);
    expect(histogram.sum).toBe(103.5);
  });

  it('counts every value, however many come between two reads', () => {
    const histogram = histogramOf();
    for (const [reads, values] of [63, 64, 65, 1, 300].entries()) {
      const before = histogram.count;
      for (let value = 1; value <= values; value++) histogram.observe(value);
      expect(histogram.count - before, `read ${reads}`).toBe(values);
    }
    expect(histogram.sum).toBe([63, 64, 65, 1, 300].reduce((sum, n) => sum + (n * (n + 1)) / 2, 0));
    expect(histogram.counts[0]).toBe(4 * 10 + 1);
  });

  it('counts several values at once as it counts each of them, and passes over those that are missing', () => {
    const values = [0, 10, Number.NaN, 10.5, 20, 50, 51, Number.NaN, 1e9];
    const together = histogramOf();
    together.observeAll(Float64Array.from(values.flatMap((value) => [7, value])), 1, 2 * values.length, 2);
    const present = histogramOf(...values.filter((value) => !Number.isNaN(value)));

    expect([...together.counts]).toEqual([...present.counts]);
    expect(together.sum).toBe(present.sum);
  });

  it('has no quantile without a value', () => {
    expect(histogramOf().quantile(0.5)).toBeNull();
    expect(histogramOf().count).toBe(0);
  });

  it.each([
    ['the middle of the first bucket', [5, 5], 0.5, 5],
    ['a point between two bounds', [15, 15, 15, 15], 0.75, 17.5],
    ['a point beyond lower and empty buckets', [5, 5, 45, 45], 0.75, 35],
    ['the bound itself, when exactly that portion is not above it', [5, 15], 0.5, 10],
    ['the first value', [45], 0, 20],
    ['the highest bound, when the value is above it', [60, 70], 0.99, 50],
  ])('estimates a quantile: %s', (_, values, portion, quantile) => {
    expect(histogramOf(...values).quantile(portion)).toBeCloseTo(quantile, 10);
  });
});
