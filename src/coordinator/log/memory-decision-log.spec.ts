import { afterEach, describe, expect, it, vi } from 'vitest';
import { MemoryDecisionLog } from './memory-decision-log.js';

/** Claims a log so many milliseconds after the start of the process, with the chance at its worst or best. */
function epochAt(sinceStartMs: number, random: number): number {
  vi.spyOn(performance, 'now').mockReturnValue(sinceStartMs);
  vi.spyOn(Math, 'random').mockReturnValue(random);
  return new MemoryDecisionLog().open().epoch;
}

describe('MemoryDecisionLog', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('gives a later claim the higher epoch, whatever chance adds, down to two microseconds', () => {
    const epochs = [
      epochAt(5, 0),
      epochAt(5.002, 0.999),
      epochAt(5.004, 0),
      epochAt(6, 0.999),
      epochAt(60_000, 0),
      epochAt(86_400_000, 0.999),
    ];
    expect(epochs).toEqual(epochs.toSorted((a, b) => a - b));
    expect(new Set(epochs).size).toBe(epochs.length);
    for (const epoch of epochs) expect(Number.isSafeInteger(epoch)).toBe(true);
  });

  it('lets chance tell apart the claims of one moment', () => {
    const epochs = [0, 0.25, 0.5, 0.75].map((random) => epochAt(5, random));
    expect(new Set(epochs).size).toBe(4);
  });

  it('knows nothing of earlier epochs, and says so: nothing may be presumed of them', () => {
    expect(new MemoryDecisionLog().open('any')).toMatchObject({ durable: false, decisions: [] });
  });

  it('takes a decision at once, and has no answer to what became of an append: none can fail', async () => {
    const log = new MemoryDecisionLog();
    expect(log.append()).toBeUndefined();
    expect(log.end()).toBeUndefined();
    await expect(log.check()).resolves.toBeUndefined();
    await expect(log.lookUp()).rejects.toThrow('nothing to look up');
  });
});
