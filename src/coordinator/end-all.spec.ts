import { describe, expect, it } from 'vitest';
import { endAll, endInTurn } from './end-all.js';
import { settled } from './testing/index.js';

const one = new Error('one');
const two = new Error('two');

describe.each([
  ['at the same time', endAll],
  ['one after the other', endInTurn],
])('Ends %s', (_how, end) => {
  const failing = (error: unknown) => () => {
    throw error;
  };

  it('wait for all, whichever fails, and tell the error only then', async () => {
    const gate = Promise.withResolvers<void>();
    const ended: string[] = [];
    const told: unknown[] = [];
    const ending = end([
      failing(one),
      async () => {
        await gate.promise;
        ended.push('slow');
      },
    ]);
    ending.catch((error: unknown) => told.push(error));
    await settled();
    expect(told).toEqual([]);
    gate.resolve();
    await expect(ending).rejects.toBe(one);
    expect(ended).toEqual(['slow']);
  });

  it('tell all errors where several fail', async () => {
    const error: unknown = await end([failing(one), () => 1, () => Promise.reject(two)]).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(AggregateError);
    expect(error).toMatchObject({ errors: [one, two], message: 'Error: one; Error: two' });
  });

  it('tell nothing where none fails, or there is none', async () => {
    await expect(end([() => 1, async () => 2])).resolves.toBeUndefined();
    await expect(end([])).resolves.toBeUndefined();
  });
});

it('Ends one after the other begin when the one before is over', async () => {
  const order: string[] = [];
  const step = (name: string) => async () => {
    order.push(`${name} begins`);
    await settled();
    order.push(`${name} ends`);
  };
  await endInTurn([step('one'), step('two')]);
  expect(order).toEqual(['one begins', 'one ends', 'two begins', 'two ends']);
});
