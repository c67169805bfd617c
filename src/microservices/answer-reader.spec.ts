import { describe, expect, it } from 'vitest';
import { MAX_CALLS } from '../remote/wire/index.js';
import { AnswerReader } from './answer-reader.js';

describe('The reader of the answers to a message', () => {
  it.each([
    ['empty answers', { answers: [''] }],
    ['parts without an answer', { answers: [] }],
  ])('ends a message with too many %s', (_case, part) => {
    let received = 0;
    const reader = new AnswerReader(() => received++);
    for (let count = 0; count < 2 * MAX_CALLS; count++) reader.take(part);
    expect(() => reader.take(part)).toThrow('there are more than');
    expect(received).toBe(part.answers.length * 2 * MAX_CALLS);
  });
});
