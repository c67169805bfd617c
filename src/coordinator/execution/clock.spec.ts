import { afterEach, describe, expect, it, vi } from 'vitest';
import { ManualClock, settled } from '../testing/manual-clock.js';
import { TurnClock } from './clock.js';

/** The clock learns of the end of a turn within the next one. */
async function turnEnded(): Promise<void> {
  await settled();
  await settled();
}

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

  it('shows moments by the wall clock of the turn, and one moment always alike', async () => {
    const clock = new TurnClock();
    const before = clock.epochMs;
    for (let turn = 0; turn < 100; turn++) {
      expect(clock.epochMs).toBe(before);
      await settled();
    }

    const HOUR_MS = 3_600_000;
    const { now } = Date;
    for (const shiftMs of [HOUR_MS, -HOUR_MS, 50]) {
      const spy = vi.spyOn(Date, 'now').mockImplementation(() => now() + shiftMs);
      await turnEnded();
      expect(Math.abs(clock.epochMs - before - shiftMs)).toBeLessThan(5);
      spy.mockRestore();
    }
    await turnEnded();
    expect(Math.abs(clock.epochMs - before)).toBeLessThan(5);
  });

  it('notices in a very long turn that the wall clock was set', () => {
    const clock = new TurnClock();
    const before = clock.epochMs;
    const { now } = Date;
    const monotonic = performance.now.bind(performance);
    vi.spyOn(Date, 'now').mockImplementation(() => now() + 3_600_000 + 10);
    vi.spyOn(performance, 'now').mockImplementation(() => monotonic() + 10);
    for (let read = 0; read < 65; read++) clock.now();
    expect(Math.abs(clock.epochMs - before - 3_600_000)).toBeLessThan(5);
  });

  it('reads the wall clock once in a turn', () => {
    const spy = vi.spyOn(Date, 'now');
    const clock = new TurnClock();
    vi.spyOn(performance, 'now').mockReturnValue(1_000);
    for (let call = 0; call < 1_000; call++) void (clock.epochMs + clock.now());
    expect(spy).toHaveBeenCalledTimes(1);
  });

  it('does not take a pause between reading its two clocks for a change of the wall clock', async () => {
    const clock = new TurnClock();
    const before = clock.epochMs;
    const now = performance.now.bind(performance);
    let pausedMs = 0;
    const monotonic = vi.spyOn(performance, 'now').mockImplementation(() => now() + pausedMs);
    const wall = Date.now;
    await turnEnded();
    const spy = vi.spyOn(Date, 'now').mockImplementationOnce(() => {
      pausedMs = 30;
      return wall();
    });
    spy.mockImplementation(() => wall() + 30);
    expect(Math.abs(clock.epochMs - before)).toBeLessThan(5);
    expect(pausedMs).toBe(30);
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
