import { describe, expect, it } from 'vitest';
import { Loners } from './loners.js';

const WORK = 'UPDATE accounts SET balance = balance + $2 WHERE name = $1';

describe('Work that takes long', () => {
  it('is slow at once when nothing else is known of it', () => {
    const loners = new Loners();
    loners.took(WORK, 101);
    expect(loners.has(WORK)).toBe(true);
  });

  it('is not slow when it takes long once, as on a busy machine', () => {
    const loners = new Loners();
    loners.took(WORK, 1);
    loners.took(WORK, 390);
    for (let time = 0; time < 20; time++) loners.took(WORK, time % 4 === 3 ? 200 : 1);
    expect(loners.has(WORK)).toBe(false);
  });

  it('is slow when it takes long again and again, in groups or on its own', () => {
    const [grouped, alone] = [new Loners(), new Loners()];
    grouped.took(WORK, 1);
    alone.tookAlone(501, () => 'other');
    alone.took(WORK, 1);
    for (let time = 0; time < 8; time++) {
      grouped.took(WORK, 150);
      alone.tookAlone(700, () => WORK);
    }
    expect([grouped.has(WORK), alone.has(WORK)]).toEqual([true, true]);
  });

  it('is forgotten after that of many others', () => {
    const loners = new Loners();
    loners.took(WORK, 1);
    for (let other = 0; other < 100; other++) loners.took(String(other), 1);
    loners.took(WORK, 101);
    expect(loners.has(WORK)).toBe(true);
  });
});
