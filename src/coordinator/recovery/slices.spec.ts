import { describe, expect, it, vi } from 'vitest';
import { Slices } from './slices.js';

describe('Slices', () => {
  it('let the event loop turn after the given number of items, and not before', async () => {
    const slices = new Slices(3);
    const turned = vi.fn<() => void>();
    setImmediate(turned);
    expect([slices.next(), slices.next()]).toEqual([undefined, undefined]);
    const turn = slices.next();
    expect(turn).toBeInstanceOf(Promise);
    expect(turned).not.toHaveBeenCalled();
    await turn;
    expect(turned).toHaveBeenCalledTimes(1);
    expect(slices.next()).toBeUndefined();
  });

  it('make all that share them wait for the same turn', () => {
    const slices = new Slices(1);
    const turn = slices.next();
    expect(slices.next()).toBe(turn);
  });
});
