import { describe, expect, it } from 'vitest';
import { describeAnswer, messageOf } from './incident.js';
import { TransactionExtras } from './transaction-extras.js';

describe('What was thrown, in words', () => {
  it.each<[string, unknown, string]>([
    ['an error', new Error('disk full'), 'disk full'],
    ['an error without a message, by its name', new TypeError(), 'TypeError'],
    ['a text', 'no more', 'no more'],
    ['nothing', undefined, 'undefined'],
    ['what cannot be made a text', Object.create(null), 'something that cannot be shown was thrown'],
    ['300 characters, as they are', 'x'.repeat(300), 'x'.repeat(300)],
    ['301 characters, cut', 'x'.repeat(301), `${'x'.repeat(300)}…`],
  ])('%s', (_, thrown, expected) => {
    expect(messageOf(thrown)).toBe(expected);
  });
});

describe('What was answered, without what it holds', () => {
  it.each<[unknown, string]>([
    [undefined, 'undefined'],
    [null, 'null'],
    [{ secret: 1 }, 'an object'],
    [['secret'], 'an object'],
    ['secret', 'a string'],
    [4711, 'a number'],
  ])('%j is %s', (value, expected) => {
    expect(describeAnswer(value)).toBe(expected);
  });
});

describe('The incidents of a transaction', () => {
  it('are kept as they come, and of more than 40 the first twenty and the latest twenty', () => {
    const extras = new TransactionExtras();
    const note = (atUs: number) =>
      extras.note({ atUs, type: 'attempt-failed', branch: 0, attempt: 1, message: 'x' });
    const kept = () => extras.incidents.map(({ atUs }) => atUs);
    const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);

    for (const number of range(0, 40)) note(number);
    expect(kept()).toEqual(range(0, 40));
    for (const number of range(40, 1_000)) note(number);
    expect(kept()).toEqual([...range(0, 20), ...range(980, 1_000)]);
  });
});
