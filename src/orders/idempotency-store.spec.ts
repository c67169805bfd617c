import { HttpStatus } from '@nestjs/common';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { ProblemException } from '../operations/problem/problem.js';
import { keyInUse, keyReused } from './idempotency-key.js';
import { IdempotencyStore, type IdempotencyStoreOptions, type KeyClaim } from './idempotency-store.js';

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

  it('does the work of a key once and repeats its answer', async () => {
    const work = vi.fn<() => Promise<string>>(() => Promise.resolve('done'));

    expect(await store.once('a', { q: 1 }, work)).toBe('done');
    expect(await store.once('a', { q: 1 }, work)).toBe('done');
    expect(work).toHaveBeenCalledTimes(1);
  });

  it('refuses a key with another request, even while the first is running', async () => {
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

  it.each([409, 422, 500])('repeats an error of status %i', async (status) => {
    const error = await store.once('a', {}, failing(status)).catch((thrown: unknown) => thrown);

    await expect(store.once('a', {}, () => Promise.resolve('done'))).rejects.toBe(error);
  });

  it('repeats an unexpected error, since its effects are unknown', async () => {
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

  describe('with an answer whose outcome is open', () => {
    interface Answer {
      readonly status: 201 | 202;
      readonly about: string;
    }
    const open: Answer = { status: 202, about: 'pending' };
    const done: Answer = { status: 201, about: 'committed' };
    const current = vi.fn<(answer: Answer) => Answer | 'free' | 'open' | undefined>();
    const earlier = vi.fn<NonNullable<IdempotencyStoreOptions<Answer>['earlier']>>();
    const work = vi.fn<(claim: KeyClaim) => Promise<Answer>>();
    let answers: IdempotencyStore<Answer>;

    beforeEach(async () => {
      current.mockReset();
      earlier.mockReset().mockResolvedValue('free');
      work.mockReset().mockResolvedValueOnce(open).mockResolvedValue(done);
      answers = new IdempotencyStore({ current, earlier, now: () => now, retainMs: 100 });
      expect(await answers.once('a', { q: 1 }, work)).toBe(open);
    });

    it('answers each repeated request with the present knowledge', async () => {
      const later: Answer = { status: 202, about: 'commit is decided' };
      current.mockReturnValueOnce(open).mockReturnValueOnce(later).mockReturnValueOnce(done);

      const told = [];
      for (let times = 0; times < 3; times++) told.push(await answers.once('a', { q: 1 }, work));

      expect(told).toEqual([open, later, done]);
      expect(work).toHaveBeenCalledTimes(1);
    });

    it('does the work again if nothing was done in the end, also for another request', async () => {
      current.mockReturnValue('free');

      expect(await answers.once('a', { q: 2 }, work)).toBe(done);
      expect(work).toHaveBeenCalledTimes(2);
      await expect(answers.once('a', { q: 1 }, work)).rejects.toMatchObject({ problem: { status: 422 } });
    });

    it('does the work again once, for two requests that find the key free at the same moment', async () => {
      const both = await Promise.allSettled([
        answers.once('a', { q: 1 }, work),
        answers.once('a', { q: 1 }, work),
      ]);

      expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
      expect(work).toHaveBeenCalledTimes(2);
    });

    it('reads the written record when the outcome is no longer known here', async () => {
      earlier.mockResolvedValueOnce('open');
      expect(await answers.once('a', { q: 1 }, work)).toBe(open);

      const { fingerprint } = work.mock.calls[0]![0];
      earlier.mockResolvedValueOnce({ fingerprint, answer: done });
      expect(await answers.once('a', { q: 1 }, work)).toBe(done);
      expect(work).toHaveBeenCalledTimes(1);
    });

    it('gives no new answer, and does no work, while the written record cannot be read', async () => {
      earlier.mockRejectedValueOnce(new Error('no answer'));

      await expect(answers.once('a', { q: 1 }, work)).rejects.toThrow('no answer');
      current.mockReturnValue(done);
      expect(await answers.once('a', { q: 1 }, work)).toBe(done);
      expect(work).toHaveBeenCalledTimes(1);
    });

    it('refuses the key with another request', async () => {
      current.mockReturnValue(open);

      await expect(answers.once('a', { q: 2 }, work)).rejects.toMatchObject({ problem: { status: 422 } });
    });
  });

  describe('after an error whose work is being undone', () => {
    interface Answer {
      readonly status: 201 | 202;
      readonly key?: string;
    }
    const done: Answer = { status: 201 };
    const heuristic: Answer = { status: 202, key: 'heuristic' };
    const state = new Map<string, Answer | 'free' | 'open' | undefined>();
    const earlier = vi.fn<NonNullable<IdempotencyStoreOptions<Answer>['earlier']>>();
    const work = vi.fn<() => Promise<Answer>>();
    let answers: IdempotencyStore<Answer>;

    /** Its detail is the name under which its state is found. */
    function refused(key: string, status: HttpStatus): () => Promise<Answer> {
      return () => Promise.reject(new ProblemException({ status, code: 'DTC_X', detail: key }));
    }

    beforeEach(() => {
      state.clear();
      earlier.mockReset().mockResolvedValue('free');
      work.mockReset().mockResolvedValue(done);
      answers = new IdempotencyStore({
        earlier,
        openAfter: (error) => ({ status: 202, key: (error as ProblemException).problem.detail }),
        current: ({ key }) => (key === 'heuristic' ? heuristic : state.get(key!)),
        now: () => now,
        retainMs: 100,
        retainAnswers: 2,
      });
    });

    it('frees the key after 503 only when all is undone', async () => {
      state.set('a', 'open');
      await expect(answers.once('a', {}, refused('a', 503))).rejects.toMatchObject({ status: 503 });

      await expect(answers.once('a', {}, work)).rejects.toMatchObject({
        problem: { code: 'DTC_IDEMPOTENCY_KEY_IN_USE' },
      });
      now = 1_000;
      await expect(answers.once('a', {}, work)).rejects.toMatchObject({ status: 409 });
      expect(work).not.toHaveBeenCalled();
      state.set('a', 'free');
      expect(await answers.once('a', {}, work)).toBe(done);
    });

    it.each([503, 409])(
      'reports after %i that a participant has committed, and does no further work',
      async (status) => {
        state.set('a', 'open');
        await expect(answers.once('a', {}, refused('a', status))).rejects.toThrow('a');
        state.set('a', heuristic);
        expect(await answers.once('a', {}, work)).toBe(heuristic);

        state.delete('a');
        expect(await answers.once('a', {}, work)).toBe(heuristic);
        expect(work).not.toHaveBeenCalled();
      },
    );

    it('repeats a final refusal while its work is being undone, and afterwards', async () => {
      for (const undoing of ['open', 'free', undefined] as const) {
        state.set('a', undoing);
        await expect(answers.once('a', {}, refused('a', 409))).rejects.toThrow('a');
        await expect(answers.once('a', {}, work)).rejects.toThrow('a');
      }
      expect(work).not.toHaveBeenCalled();
    });

    it('returns the work of another process under the key, once its own work is undone', async () => {
      state.set('a', 'free');
      await expect(answers.once('a', { q: 1 }, refused('a', 503))).rejects.toThrow('a');
      earlier.mockResolvedValue('open');

      await expect(answers.once('a', { q: 1 }, work)).rejects.toMatchObject({ status: 409 });
      expect(work).not.toHaveBeenCalled();
    });

    it('drops final answers before open ones, and accepts no new key when all are open', async () => {
      state.set('a', 'open').set('b', 'open');
      await expect(answers.once('a', {}, refused('a', 503))).rejects.toThrow('a');
      for (const key of ['x', 'y']) await answers.once(key, {}, work);
      await expect(answers.once('a', {}, work)).rejects.toMatchObject({ status: 409 });
      await expect(answers.once('b', {}, refused('b', 503))).rejects.toThrow('b');
      work.mockClear();

      await expect(answers.once('c', {}, work)).rejects.toMatchObject({
        problem: { status: 503, code: 'DTC_OVERLOADED', retryAfterSeconds: 1 },
      });
      for (const key of ['a', 'b']) {
        await expect(answers.once(key, {}, work)).rejects.toMatchObject({ status: 409 });
      }
      expect(work).not.toHaveBeenCalled();
      state.set('b', 'free');
      expect(await answers.once('c', {}, work)).toBe(done);
    });

    it('keeps a final answer that was found by a later look', async () => {
      await answers.once('a', {}, () => Promise.resolve({ status: 202, key: 'a' }));
      state.set('a', done);
      expect(await answers.once('a', {}, work)).toBe(done);

      state.delete('a');
      expect(await answers.once('a', {}, work)).toBe(done);
      expect(work).not.toHaveBeenCalled();
      expect(earlier).toHaveBeenCalledTimes(1);
    });
  });

  describe('with answers of earlier runs', () => {
    const earlier = vi.fn<NonNullable<IdempotencyStoreOptions<string>['earlier']>>();
    const work = vi.fn<(claim: KeyClaim) => Promise<string>>();

    beforeEach(() => {
      earlier.mockReset().mockResolvedValue('free');
      work.mockReset().mockResolvedValue('done');
      store = new IdempotencyStore({ earlier });
    });

    /** @returns a fingerprint of the request. */
    async function fingerprintOf(request: unknown): Promise<string> {
      await new IdempotencyStore<string>().once('x', request, work);
      const [claim] = work.mock.calls.at(-1)!;
      work.mockClear();
      return claim.fingerprint;
    }

    it('gives the answer of an earlier run, and does no work', async () => {
      const fingerprint = await fingerprintOf({ q: 1 });
      earlier.mockResolvedValue({ fingerprint, answer: 'earlier' });

      expect(await store.once('a', { q: 1 }, work)).toBe('earlier');
      await expect(store.once('a', { q: 2 }, work)).rejects.toMatchObject({ problem: { status: 422 } });
      expect(await store.once('a', { q: 1 }, work)).toBe('earlier');
      expect(work).not.toHaveBeenCalled();
    });

    it('refuses a key while its outcome is unknown, and asks again the next time', async () => {
      earlier.mockResolvedValueOnce('open');

      await expect(store.once('a', {}, work)).rejects.toMatchObject({ problem: { status: 409 } });
      expect(await store.once('a', {}, work)).toBe('done');
      expect(work).toHaveBeenCalledTimes(1);
    });

    it('does the work once when two requests ask for the earlier runs at the same time', async () => {
      const both = await Promise.allSettled([store.once('a', {}, work), store.once('a', {}, work)]);

      expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
      expect(work).toHaveBeenCalledTimes(1);
    });

    it('does not repeat a refusal once another process has done what was refused here', async () => {
      const refusal = new ProblemException({ status: 409, code: 'DTC_REFUSED', detail: 'out of stock' });
      const fingerprint = await fingerprintOf({ q: 1 });
      work.mockRejectedValueOnce(refusal);
      await expect(store.once('a', { q: 1 }, work)).rejects.toBe(refusal);
      await expect(store.once('a', { q: 1 }, work)).rejects.toBe(refusal);

      earlier.mockResolvedValueOnce('open');
      await expect(store.once('a', { q: 1 }, work)).rejects.toMatchObject({
        problem: { code: 'DTC_IDEMPOTENCY_KEY_IN_USE' },
      });
      earlier.mockResolvedValueOnce({ fingerprint, answer: 'done elsewhere' });
      expect(await store.once('a', { q: 1 }, work)).toBe('done elsewhere');
      expect(work).toHaveBeenCalledTimes(1);
    });

    it('does not ask about a key that it knows', async () => {
      await store.once('a', {}, work);
      await store.once('a', {}, work);

      expect(earlier).toHaveBeenCalledTimes(1);
    });

    it.each([keyInUse(), keyReused()])(
      'does not keep the answer that another process has the key: $problem.code',
      async (problem) => {
        work.mockRejectedValueOnce(problem);

        await expect(store.once('a', {}, work)).rejects.toBe(problem);
        expect(await store.once('a', {}, work)).toBe('done');
      },
    );

    it('lets work that knows its key answer while another process may have done it', async () => {
      const asking = new IdempotencyStore<string>({ earlier, knowsItsKey: true });
      earlier.mockResolvedValue('open');
      work.mockResolvedValueOnce('under way elsewhere');
      expect(await asking.once('a', {}, work)).toBe('under way elsewhere');

      work.mockRejectedValueOnce(new ProblemException({ status: 409, code: 'DTC_REFUSED', detail: 'no' }));
      await expect(asking.once('b', {}, work)).rejects.toMatchObject({ problem: { code: 'DTC_REFUSED' } });
      // A request that was refused here may be under way elsewhere by now.
      expect(await asking.once('b', {}, work)).toBe('done');
    });

    it('does no work when it cannot find out', async () => {
      earlier.mockRejectedValue(new Error('no answer'));

      await expect(store.once('a', {}, work)).rejects.toThrow('no answer');
      expect(work).not.toHaveBeenCalled();
    });
  });
});
