import { describe, expect, it } from 'vitest';
import { type NewMessage, rowOf } from './message.js';

const BRANCH = { transactionId: 'shop.1.1' };

describe('A message', () => {
  it('is written with an id of its own and its payload as JSON', () => {
    const row = rowOf(
      { topic: 't', key: 'k', payload: { at: new Date(0), text: '\u0000\uD800' } },
      BRANCH,
      100,
    );
    expect(row).toEqual({
      id: expect.stringMatching(/^[\da-f-]{36}$/) as string,
      topic: 't',
      key: 'k',
      payload: String.raw`{"at":"1970-01-01T00:00:00.000Z","text":"\u0000\ud800"}`,
      transactionId: 'shop.1.1',
    });
    expect(rowOf({ topic: 't', payload: null }, BRANCH, 4)).toMatchObject({ key: null, payload: 'null' });
    expect(rowOf({ topic: 't', payload: 1 }, BRANCH, 1).id).not.toBe(row.id);
  });

  it.each([
    ['no topic', { payload: 1 }, 'its topic must have 1 to 200 characters'],
    ['an empty key', { topic: 't', key: '', payload: 1 }, 'its key must have'],
    ['a long key', { topic: 't', key: 'k'.repeat(201), payload: 1 }, 'its key must have'],
    ['a control character', { topic: 'a\u0000b', payload: 1 }, 'its topic must have'],
    ['half a character', { topic: '\uD800', payload: 1 }, 'its topic must have'],
    ['no payload', { topic: 't' }, 'nothing that JSON can represent'],
    ['a function as payload', { topic: 't', payload: () => 1 }, 'nothing that JSON can represent'],
    ['a payload without JSON', { topic: 't', payload: 1n }, 'cannot be written as JSON'],
    [
      'a large payload',
      { topic: 't', payload: 'ü'.repeat(50) },
      'has 102 bytes as JSON, and maxPayloadBytes is 100',
    ],
    ['an unknown field', { topic: 't', payload: 1, keys: 'k' }, 'keys is no field of a message'],
  ])('with %s is refused', (_what, message, problem) => {
    expect(() => rowOf(message as NewMessage, BRANCH, 100)).toThrow(
      expect.objectContaining({
        code: 'DTC_OUTBOX_MESSAGE',
        message: expect.stringContaining(problem) as string,
      }),
    );
  });

  it('is refused where the branch is missing', () => {
    expect(() => rowOf({ topic: 't', payload: 1 }, {} as typeof BRANCH, 100)).toThrow('is not the branch');
  });
});
