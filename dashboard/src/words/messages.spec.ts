import { describe, expect, it } from 'vitest';
import type { OutboxView } from '../api/views.js';
import { resultOf } from '../actions/results.js';
import { discard, resend } from '../actions/message-actions.js';
import { outboxWords } from './messages.js';

const OUTBOX: OutboxView = {
  name: 'mail',
  held: { waiting: 0, oldestMs: 0, dead: 0 },
  sent: 1_234,
  retried: 0,
  sending: 2,
  hanging: 0,
  problem: null,
};

describe('An outbox in words', () => {
  it.each([
    [{}, '0 messages wait; 0 are dead. This process is sending 2, and has sent 1,234 since its start.'],
    [
      { held: { waiting: 1, oldestMs: 61_000, dead: 10_000 }, hanging: 1 },
      '1 message waits, the oldest for 1 min 01 s; 10,000 or more are dead. This process is sending 2, and has sent 1,234 since its start. 1 attempt goes on after the time is up.',
    ],
    [{ held: null }, 'Its messages have not been counted yet.'],
    [{ held: null, problem: 'ECONNREFUSED' }, 'Its database does not answer: ECONNREFUSED'],
  ])('%#', (fields, words) => {
    expect(outboxWords({ ...OUTBOX, ...fields })).toBe(words);
  });
});

describe('What became of an order about messages', () => {
  it('is told with the number of those that are left, and why', () => {
    const { message, rest } = resultOf(resend('mail', ['a', 'b', 'c']), { done: 2, left: 1 });
    expect([message, rest]).toEqual([
      '2 of 3 to be sent again.',
      [expect.stringContaining('1 left: no longer dead')],
    ]);
    expect(resultOf(discard('mail', ['a']), { done: 1, left: 0 })).toEqual({
      message: '1 deleted.',
      rest: [],
    });
  });

  it('names the messages, and is asked of the right outbox', () => {
    expect(resend('mail', ['a', 'b'], true)).toMatchObject({
      label: 'Send all again',
      target: 'mail',
      path: 'outboxes/mail/resend',
      ids: ['a', 'b'],
      isFinal: false,
    });
    expect(discard('mail', ['a'])).toMatchObject({
      target: 'a',
      path: 'outboxes/mail/discard',
      isFinal: true,
    });
  });
});
