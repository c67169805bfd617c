import { HttpStatus } from '@nestjs/common';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { ProblemException } from '../common/problem.js';
import { IdempotencyStore } from './idempotency-store.js';

describe('The idempotency store', () => {
  let now: number;
  let store: IdempotencyStore<string>;

  beforeEach(() => {
    now = 0;
    store = new IdempotencyStore({ retainMs: 100, retainAnswers: 2, now: () => now });
  });

  function failing(status: HttpStatus): () => Promise<string> {
    return () => Promise.reject(new ProblemException({ status, code: 'DTC_X', detail: 'no' }));
  }

  it('does the work of a key once and gives its answer again', async () => {
    const work = vi.fn<() => Promise<string>>(() => Promise.resolve('done'));

    expect(await store.once('a', { q: 1 }, work)).toBe('done');
    expect(await store.once('a', { q: 1 }, work)).toBe('done');
    expect(work).toHaveBeenCalledTimes(1);
  });

  it('refuses a key with another request, also while the first is at work', async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const first = store.once('a', { q: 1 }, () => promise);

    await expect(store.once('a', { q: 2 }, () => promise)).rejects.toMatchObject({
      problem: { status: 422 },
    });
    await expect(store.once('a', { q: 1 }, () => promise)).rejects.toMatchObject({
      problem: { status: 409 },
    });
    resolve('done');
    await first;
    await expect(store.once('a', { q: 2 }, () => promise)).rejects.toMatchObject({
      problem: { status: 422 },
    });
  });

  it.each([409, 422, 500])('gives an error of status %i again', async (status) => {
    const error = await store.once('a', {}, failing(status)).catch((thrown: unknown) => thrown);

    await expect(store.once('a', {}, () => Promise.resolve('done'))).rejects.toBe(error);
  });

  it('gives an error that nobody foresaw again, for it is not known what it left behind', async () => {
    await expect(store.once('a', {}, () => Promise.reject(new Error('boom')))).rejects.toThrow('boom');
    await expect(store.once('a', {}, () => Promise.resolve('done'))).rejects.toThrow('boom');
  });

  it('frees a key after 503', async () => {
    await expect(store.once('a', {}, failing(503))).rejects.toMatchObject({ problem: { status: 503 } });
    expect(await store.once('a', { other: true }, () => Promise.resolve('done'))).toBe('done');
  });

  it('forgets an answer when its time is up', async () => {
    await store.once('a', {}, () => Promise.resolve('first'));
    now = 99;
    expect(await store.once('a', {}, () => Promise.resolve('second'))).toBe('first');
    now = 100;
    expect(await store.once('a', {}, () => Promise.resolve('second'))).toBe('second');
  });

  it('forgets the oldest answer when there are too many', async () => {
    for (const key of ['a', 'b', 'c']) await store.once(key, {}, () => Promise.resolve('first'));

    expect(await store.once('b', {}, () => Promise.resolve('second'))).toBe('first');
    expect(await store.once('c', {}, () => Promise.resolve('second'))).toBe('first');
    expect(await store.once('a', {}, () => Promise.resolve('second'))).toBe('second');
  });
});
