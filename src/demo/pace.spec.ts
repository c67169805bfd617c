import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Pace } from './pace.js';

describe('A pace', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('starts work evenly until its time is over, and ends when all of it has ended', async () => {
    const works: PromiseWithResolvers<void>[] = [];
    const pace = new Pace({ perSecond: 4, forMs: 2_000, maxOpen: 100 }, () => {
      works.push(Promise.withResolvers<void>());
      return works.at(-1)!.promise;
    });
    let hasEnded = false;
    void pace.ended.then(() => (hasEnded = true));

    await vi.advanceTimersByTimeAsync(1_000);
    expect(pace).toMatchObject({ started: 4, open: 4, isRunning: true });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(pace).toMatchObject({ started: 8, open: 8, isRunning: false });
    expect(hasEnded).toBe(false);

    for (const { resolve } of works) resolve();
    await pace.ended;
    expect(pace).toMatchObject({ started: 8, open: 0, leftOut: 0 });
  });

  it('leaves out what is due while too much is under way', async () => {
    const pace = new Pace({ perSecond: 10, forMs: 5_000, maxOpen: 3 }, () => new Promise(() => {}));

    await vi.advanceTimersByTimeAsync(1_000);

    expect(pace).toMatchObject({ started: 3, open: 3, leftOut: 7 });
    pace.stop();
  });

  it('makes up for one second of a pause of the process, and leaves out the rest', async () => {
    const now = vi.spyOn(performance, 'now').mockReturnValue(0);
    const pace = new Pace({ perSecond: 10, forMs: 60_000, maxOpen: 100 }, () => Promise.resolve());

    now.mockReturnValue(30_000);
    await vi.advanceTimersByTimeAsync(100);

    expect(pace).toMatchObject({ started: 10, leftOut: 290 });
    pace.stop();
    now.mockRestore();
  });

  it('starts nothing more once it is stopped', async () => {
    const pace = new Pace({ perSecond: 50, forMs: 60_000, maxOpen: 100 }, () => Promise.resolve());
    await vi.advanceTimersByTimeAsync(200);

    pace.stop();
    await pace.ended;
    await vi.advanceTimersByTimeAsync(1_000);

    expect(pace).toMatchObject({ started: 10, isRunning: false });
  });
});
