import { afterEach, describe, expect, it, vi } from 'vitest';
import { ManualClock, settled } from '../testing/manual-clock.js';
import { TurnClock } from './clock.js';

describe('TurnClock', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('gives one time in one turn of the event loop, and another in the next', async () => {
    const clock = new TurnClock();
    const before = clock.now();
    vi.spyOn(performance, 'now').mockReturnValue(before + 1_000);

    expect(clock.now()).toBe(before);
    await Promise.resolve();
    expect(clock.now()).toBe(before);
    await settled();
    await settled();
    expect(clock.now()).toBe(before + 1_000);
  });

  it('advances in every turn, not only in the first two', async () => {
    const clock = new TurnClock();
    const read = vi.spyOn(performance, 'now');
    for (const time of [1_000, 2_000, 3_000, 4_000]) {
      read.mockReturnValue(time);
      expect(clock.now()).toBe(time);
      await settled();
      await settled();
    }
  });

  it('advances in a very long turn', () => {
    const clock = new TurnClock();
    const before = clock.now();
    vi.spyOn(performance, 'now').mockReturnValue(before + 1_000);
    let reads = 1;
    while (clock.now() === before) reads++;

    expect(reads).toBeLessThanOrEqual(65);
  });

  it('never goes back, and gives the wall-clock time of its zero', async () => {
    const clock = new TurnClock();
    let last = 0;
    for (let turn = 0; turn < 20; turn++) {
      for (let read = 0; read < 100; read++) {
        const now = clock.now();
        expect(now).toBeGreaterThanOrEqual(last);
        last = now;
      }
      await settled();
    }
    expect(last).toBeGreaterThan(0);
    expect(Math.abs(clock.epochMs + last - Date.now())).toBeLessThan(60_000);
  });

  it('shows moments by the present wall clock, and one moment always alike', () => {
    const clock = new TurnClock();
    const before = clock.epochMs;
    expect(Array.from({ length: 100 }, () => clock.epochMs)).toEqual(
      Array.from({ length: 100 }, () => before),
    );

    const HOUR_MS = 3_600_000;
    const { now } = Date;
    for (const shiftMs of [HOUR_MS, -HOUR_MS, 50]) {
      const spy = vi.spyOn(Date, 'now').mockImplementation(() => now() + shiftMs);
      expect(Math.abs(clock.epochMs - before - shiftMs)).toBeLessThan(5);
      spy.mockRestore();
    }
    expect(Math.abs(clock.epochMs - before)).toBeLessThan(5);
  });

  it('does not take a pause between reading its two clocks for a change of the wall clock', () => {
    const clock = new TurnClock();
    const before = clock.epochMs;
    const now = performance.now.bind(performance);
    let pausedMs = 0;
    const monotonic = vi.spyOn(performance, 'now').mockImplementation(() => now() + pausedMs);
    const wall = Date.now;
    const spy = vi.spyOn(Date, 'now').mockImplementationOnce(() => {
      pausedMs = 30;
      return wall();
    });
    spy.mockImplementation(() => wall() + 30);
    expect(Math.abs(clock.epochMs - before)).toBeLessThan(5);
    spy.mockRestore();
    monotonic.mockRestore();
  });

  it('waits for the end of at most one turn at a time', () => {
    const setImmediateSpy = vi.spyOn(globalThis, 'setImmediate');
    const clock = new TurnClock();
    for (let read = 0; read < 1_000; read++) clock.now();

    expect(setImmediateSpy).toHaveBeenCalledTimes(1);
  });
});

describe('ManualClock', () => {
  it('moves only by hand, in steps, and calls its listeners at each', async () => {
    const clock = new ManualClock(1_000);
    const seen: number[] = [];
    const end = clock.onAdvance(() => seen.push(clock.now()));

    await clock.advance(25, 10);
    expect(seen).toEqual([1_010, 1_020, 1_025]);
    end();
    await clock.advance(10);
    expect(seen).toHaveLength(3);
    expect(clock.now()).toBe(1_035);
  });
});
