import { describe, expect, it } from 'vitest';
import { ManualClock } from '../testing/index.js';
import { LATE, TimeLimits } from './time-limits.js';

function setUp() {
  const clock = new ManualClock();
  const limits = new TimeLimits(clock);
  clock.onAdvance(() => limits.sweep(clock.now()));
  return { clock, limits };
}

describe('TimeLimits', () => {
  it('gives the result of the work, also a synchronous one', async () => {
    const { limits } = setUp();
    expect(await limits.within('there', 100)).toBe('there');
    expect(await limits.within(Promise.resolve('soon'), 100)).toBe('soon');
    await expect(limits.within(Promise.reject(new Error('broken')), 100)).rejects.toThrow('broken');
  });

  it('ends a wait when its time is up on the clock, and not before', async () => {
    const { clock, limits } = setUp();
    const seen: unknown[] = [];
    const waiting = limits.within(new Promise(() => {}), 100).then((end) => seen.push(end));

    await clock.advance(90);
    expect(seen).toEqual([]);
    await clock.advance(10);
    await waiting;
    expect(seen).toEqual([LATE]);
  });

  it('drops a late result or rejection, and keeps no limit of a wait that has ended', async () => {
    const { clock, limits } = setUp();
    const work = Promise.withResolvers<string>();
    const waiting = limits.within(work.promise, 100);
    await clock.advance(100);
    work.reject(new Error('too late'));

    expect(await waiting).toBe(LATE);
    await limits.within('there', 1_000);
    expect(Reflect.get(limits, 'limits')).toHaveProperty('size', 0);
  });
});
