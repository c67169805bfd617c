import { describe, expect, it } from 'vitest';
import { Slots } from './slots.js';

const never = new AbortController().signal;

describe('The places of a connection pool', () => {
  it('are given to waiters in their order', async () => {
    const slots = new Slots(1);
    await slots.take(never);
    const order: number[] = [];
    const waiters = [1, 2].map((number) => slots.take(never).then(() => order.push(number)));
    expect(slots.length).toBe(2);
    slots.give();
    await waiters[0];
    expect(order).toEqual([1]);
    slots.give();
    await waiters[1];
    expect(order).toEqual([1, 2]);
    expect(slots.length).toBe(0);
  });

  it('keep no waiter that has given up, and give it no place', async () => {
    const slots = new Slots(1);
    await slots.take(never);
    const patience = new AbortController();
    const waiters = Array.from({ length: 100 }, () => slots.take(patience.signal).catch(String));
    patience.abort(new Error('too late'));
    expect(slots.length).toBe(0);
    expect(new Set(await Promise.all(waiters))).toEqual(new Set(['Error: too late']));
    slots.give();
    await slots.take(AbortSignal.timeout(1_000));
    await expect(slots.take(patience.signal)).rejects.toThrow('too late');
  });
});
