import { describe, expect, it } from 'vitest';
import { describeAnswer, messageOf } from './texts.js';

describe('The text of an error', () => {
  it.each<[string, unknown, string]>([
    ['an error', new Error('disk full'), 'disk full'],
    ['an error without a message gives its name', new TypeError(), 'TypeError'],
    ['a text', 'no more', 'no more'],
    ['nothing', undefined, 'undefined'],
    [
      'a value that cannot be converted to a text',
      Object.create(null),
      'something that cannot be shown was thrown',
    ],
    ['300 characters, unchanged', 'x'.repeat(300), 'x'.repeat(300)],
    ['301 characters, cut', 'x'.repeat(301), `${'x'.repeat(300)}…`],
  ])('%s', (_, thrown, expected) => {
    expect(messageOf(thrown)).toBe(expected);
  });
});

describe('The description of an answer without its content', () => {
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
