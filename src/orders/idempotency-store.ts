import { createHash } from 'node:crypto';
import { HttpStatus } from '@nestjs/common';
import { ProblemException, problemOf } from '../common/problem.js';

export interface IdempotencyStoreOptions {
  /** How long an answer is kept, in milliseconds. @default 86_400_000, a day */
  readonly retainMs?: number;
  /** How many are kept; the oldest go first. @default 100_000 */
  readonly retainAnswers?: number;
  /** A monotonic clock, in milliseconds. @default performance.now */
  readonly now?: () => number;
}

interface Entry<T> {
  readonly fingerprint: string;
  readonly answer: Promise<T>;
}

/**
 * Answers a request that is repeated under the same key as it was answered first, and does its work once
 * (IETF draft "The Idempotency-Key HTTP Header Field"). In memory: answers end with the process.
 */
export class IdempotencyStore<T> {
  /** As many as requests are being served, so they need no limit of their own. */
  private readonly running = new Map<string, Entry<T>>();
  /** In the order of their answers, so the oldest come first. */
  private readonly answered = new Map<string, Entry<T> & { readonly expiresAt: number }>();
  private readonly retainMs: number;
  private readonly retainAnswers: number;
  private readonly now: () => number;

  constructor({
    retainMs = 86_400_000,
    retainAnswers = 100_000,
    now = () => performance.now(),
  }: IdempotencyStoreOptions = {}) {
    this.retainMs = retainMs;
    this.retainAnswers = retainAnswers;
    this.now = now;
  }

  /**
   * Does the work of the first request that bears the key. Its answer, also when it is an error, is that of all
   * that follow; but 503 says that nothing has happened, so after it the key is free again.
   *
   * @param request what was asked; a key stands for one request only.
   * @throws ProblemException 422 when the key stands for another request, 409 while the first one is at work;
   * whatever `work` throws.
   */
  async once(key: string, request: unknown, work: () => Promise<T>): Promise<T> {
    this.dropExpired();
    const fingerprint = createHash('sha256').update(JSON.stringify(request)).digest('base64');
    const first = this.running.get(key) ?? this.answered.get(key);
    if (first !== undefined && first.fingerprint !== fingerprint) throw keyReused();
    if (this.running.has(key)) throw keyInUse();
    if (first !== undefined) return first.answer;

    const entry: Entry<T> = { fingerprint, answer: work() };
    this.running.set(key, entry);
    try {
      const answer = await entry.answer;
      this.keep(key, entry);
      return answer;
    } catch (error) {
      if (problemOf(error).status !== (HttpStatus.SERVICE_UNAVAILABLE as number)) this.keep(key, entry);
      throw error;
    } finally {
      this.running.delete(key);
    }
  }

  private keep(key: string, entry: Entry<T>): void {
    this.answered.set(key, { ...entry, expiresAt: this.now() + this.retainMs });
    const [oldest] = this.answered.keys();
    if (this.answered.size > this.retainAnswers && oldest !== undefined) this.answered.delete(oldest);
  }

  private dropExpired(): void {
    const now = this.now();
    for (const [key, { expiresAt }] of this.answered) {
      if (expiresAt > now) return;
      this.answered.delete(key);
    }
  }
}

function keyReused(): ProblemException {
  return new ProblemException({
    status: HttpStatus.UNPROCESSABLE_ENTITY,
    code: 'DTC_IDEMPOTENCY_KEY_REUSED',
    detail: 'This Idempotency-Key was sent with another body before. Give every request a key of its own.',
  });
}

function keyInUse(): ProblemException {
  return new ProblemException({
    status: HttpStatus.CONFLICT,
    code: 'DTC_IDEMPOTENCY_KEY_IN_USE',
    detail: 'The first request with this Idempotency-Key is still at work. Ask again later.',
    retryAfterSeconds: 1,
  });
}
