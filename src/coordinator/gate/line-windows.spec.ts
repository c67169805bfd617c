import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LINE_WINDOW_MS, LineLimit, LineWindow } from './line-windows.js';

describe('LineLimit', () => {
  const said: unknown[] = [];
  let limit: LineLimit;

  beforeEach(() => {
    vi.useFakeTimers();
    said.length = 0;
    limit = new LineLimit(2, ({ kind, subject }, leftOut) => said.push([kind, subject, leftOut]));
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const written = (window: LineWindow, lines: number): number =>
    Array.from({ length: lines }, () => limit.takes(window)).filter(Boolean).length;

  it('says at the end of a window how many lines were left out, and begins anew', () => {
    const window = new LineWindow('attempt', { participant: 'stock' });
    expect(written(window, 5)).toBe(2);
    expect([said, vi.getTimerCount()]).toEqual([[], 1]);
    vi.advanceTimersByTime(LINE_WINDOW_MS);
    expect(said).toEqual([['attempt', { participant: 'stock' }, 3]]);
    expect(vi.getTimerCount()).toBe(0);
    expect(written(window, 3)).toBe(2);
    expect(limit.leftOut.get('attempt')).toBe(4);
  });

  it('says nothing where nothing was left out, and needs no timer', () => {
    const window = new LineWindow('attempt');
    expect(written(window, 2)).toBe(2);
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(LINE_WINDOW_MS);
    expect(written(window, 2)).toBe(2);
    expect([said, limit.leftOut.size]).toEqual([[], 0]);
  });

  it('counts each window apart, and one may have a limit of its own', () => {
    expect(written(new LineWindow('attempt', { participant: 'a' }), 3)).toBe(2);
    expect(written(new LineWindow('attempt', { participant: 'b' }), 3)).toBe(2);
    expect(written(new LineWindow('vote', {}, 1), 3)).toBe(1);
    expect([...limit.leftOut]).toEqual([
      ['attempt', 2],
      ['vote', 2],
    ]);
  });

  it('says what was left out when it is closed, and leaves nothing out after that', () => {
    const window = new LineWindow('attempt');
    written(window, 4);
    limit.close();
    expect(said).toEqual([['attempt', {}, 2]]);
    expect(written(window, 10)).toBe(10);
    expect(vi.getTimerCount()).toBe(0);
  });
});
