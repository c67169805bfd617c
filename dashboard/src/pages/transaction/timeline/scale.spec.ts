import { describe, expect, it } from 'vitest';
import { compressedScale, ticksOf } from './scale.js';

describe('the scale of a timeline', () => {
  const moments = [0, 1, 5, 60_000];
  const scale = compressedScale(moments, 100, 500);

  it('begins and ends with the picture', () => {
    expect(scale(0)).toBe(100);
    expect(scale(60_000)).toBeCloseTo(500);
    expect(scale(90_000)).toBe(500);
  });

  it('keeps the order, and room for short gaps', () => {
    const places = moments.map(scale);
    expect(places).toEqual(places.toSorted((a, b) => a - b));
    expect(places[1]! - places[0]!).toBeGreaterThan(20);
  });

  it('puts other moments between their neighbours', () => {
    expect(scale(3)).toBeCloseTo((scale(1) + scale(5)) / 2);
  });

  it('has a place for the only moment', () => {
    expect(compressedScale([0], 100, 500)(0)).toBe(100);
  });

  it('is labelled where there is room', () => {
    const crowded = [0, 1, 2, 3, 60_000];
    expect(ticksOf(crowded, compressedScale(crowded, 0, 400), 70)).toEqual([0, 3, 60_000]);
  });
});
