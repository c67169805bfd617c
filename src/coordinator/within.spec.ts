import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { within } from './within.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const never = new Promise<never>(() => {});

describe('work with a time limit', () => {
  it('returns its result in time, and leaves no timer behind', async () => {
    expect(await within(50, Promise.resolve('done'), () => 'late')).toBe('done');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('throws its error in time, and leaves no timer behind', async () => {
    await expect(within(50, Promise.reject(new Error('no')), () => 'late')).rejects.toThrow('no');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('returns the replacement once its time is up, and not before', async () => {
    const late = vi.fn<() => string>(() => 'late');
    const waiting = within(50, never, late);

    await vi.advanceTimersByTimeAsync(49);
    expect(late).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);

    expect(await waiting).toBe('late');
  });

  it('throws the replacement, and may fail later without an unhandled rejection', async () => {
    const { promise, reject } = Promise.withResolvers<never>();
    const waiting = within(50, promise, () => {
      throw new Error('too late');
    });
    const seen = waiting.catch((error: Error) => error.message);

    await vi.advanceTimersByTimeAsync(50);
    expect(await seen).toBe('too late');
    reject(new Error('later'));
  });
});
