import { describe, expect, it } from 'vitest';
import { ManualClock, settled } from './manual-clock.js';

describe('ManualClock', () => {
  it('stands still until it is moved, and then advances exactly that far', async () => {
    const clock = new ManualClock(50, 0);
    await settled();
    expect(clock.now()).toBe(50);

    await clock.advance(25);

    expect(clock.now()).toBe(75);
    expect(clock.epochMs).toBe(0);
  });

  it('advances in steps, and calls its listeners and due callbacks at each', async () => {
    const clock = new ManualClock(0);
    const seen: string[] = [];
    const end = clock.onAdvance(() => {
      const at = clock.now();
      void Promise.resolve().then(() => seen.push(`done ${at}`));
      seen.push(`at ${at}`);
    });

    await clock.advance(25, 10);
    end();
    await clock.advance(10);

    expect(seen).toEqual(['at 10', 'done 10', 'at 20', 'done 20', 'at 25', 'done 25']);
  });

  it('ends delays at their own moments and in order, also between the steps', async () => {
    const clock = new ManualClock(0);
    const ended: [name: string, at: number][] = [];
    for (const [name, ms] of [
      ['third', 25],
      ['first', 3],
      ['second', 10],
      ['later', 40],
    ] as const) {
      void clock.delay(ms).then(() => ended.push([name, clock.now()]));
    }

    await clock.advance(30, 10);

    expect(ended).toEqual([
      ['first', 3],
      ['second', 10],
      ['third', 25],
    ]);
    await clock.advance(10);
    expect(ended.at(-1)).toEqual(['later', 40]);
  });

  it('ends a delay before it calls its listeners, so an answer at the deadline is in time', async () => {
    const clock = new ManualClock(0);
    const order: string[] = [];
    clock.onAdvance(() => order.push(`advance to ${clock.now()}`));
    void clock.delay(10).then(() => order.push('delay over'));

    await clock.advance(10);

    expect(order).toEqual(['delay over', 'advance to 10']);
  });

  it('counts a delay that begins when another ends from that moment', async () => {
    const clock = new ManualClock(0);
    let endedAt = 0;
    void clock
      .delay(7)
      .then(() => clock.delay(7))
      .then(() => (endedAt = clock.now()));

    await clock.advance(20, 10);

    expect(endedAt).toBe(14);
    expect(clock.now()).toBe(20);
  });

  it('ends a delay of 0 with the next move', async () => {
    const clock = new ManualClock(5);
    let over = false;
    void clock.delay(0).then(() => (over = true));
    await settled();
    expect(over).toBe(false);

    await clock.advance(1);

    expect(over).toBe(true);
    expect(clock.now()).toBe(6);
  });
});
