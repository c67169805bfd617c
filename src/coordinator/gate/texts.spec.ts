import { describe, expect, it } from 'vitest';
import { describeAnswer, messageOf } from './texts.js';

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
