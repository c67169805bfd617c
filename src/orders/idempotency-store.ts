import { createHash } from 'node:crypto';
import { HttpStatus } from '@nestjs/common';
import { problemOf } from '../common/problem.js';
import { keyInUse, keyReused } from './idempotency-key.js';

/** A key, and what tells the request that bears it from others. */
export interface KeyClaim {
  readonly key: string;
  readonly fingerprint: string;
}

/** What an earlier run has answered to the request of this fingerprint. */
export interface EarlierAnswer<T> {
  readonly fingerprint: string;
  readonly answer: T;
}

export interface IdempotencyStoreOptions<T> {
  /**
   * Looks for the answer of an earlier run, or of another process: `free` if there is none, `open` while nobody knows.
   * Asked only for keys that this process knows nothing of.
   *
   * @default answers end with the process
   */
  readonly earlier?: (key: string) => Promise<EarlierAnswer<T> | 'free' | 'open'>;
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
 * (IETF draft "The Idempotency-Key HTTP Header Field").
 *
 * Answers are kept in memory. What has to outlive the process is not the answer but what was done, and that is kept with
 * the work itself: the key is a part of what the work writes, so it is there if and only if the work has taken effect, and
 * whoever finds it makes the same answer of it. A request that was refused changed nothing, so that after a restart it is
 * simply done anew.
 */
export class IdempotencyStore<T> {
  /** As many as requests are being served, so they need no limit of their own. */
  private readonly running = new Map<string, Entry<T>>();
  /** In the order of their answers, so the oldest come first. */
  private readonly answered = new Map<string, Entry<T> & { readonly expiresAt: number }>();
  private readonly earlier: IdempotencyStoreOptions<T>['earlier'];
  private readonly retainMs: number;
  private readonly retainAnswers: number;
  private readonly now: () => number;

  constructor({
    earlier,
    retainMs = 86_400_000,
    retainAnswers = 100_000,
    now = () => performance.now(),
  }: IdempotencyStoreOptions<T> = {}) {
    this.earlier = earlier;
    this.retainMs = retainMs;
    this.retainAnswers = retainAnswers;
    this.now = now;
  }

  /**
   * Does the work of the first request that bears the key. Its answer, also when it is an error, is that of all
   * that follow; but 503 says that nothing has happened, so after it the key is free again.
   *
   * @param request what was asked; a key stands for one request only.
   * @param work writes the key with what it changes, where that outlives the process.
   * @throws ProblemException 422 when the key stands for another request, 409 while the first one is at work;
   * whatever `work` and `earlier` throw.
   */
  async once(key: string, request: unknown, work: (claim: KeyClaim) => Promise<T>): Promise<T> {
    this.dropExpired();
    const fingerprint = createHash('sha256').update(JSON.stringify(request)).digest('base64');
    if (this.earlier !== undefined && !this.isKnown(key)) {
      const found = await this.earlier(key);
      if (found === 'open') throw keyInUse();
      if (found !== 'free') {
        if (found.fingerprint !== fingerprint) throw keyReused();
        return found.answer;
      }
    }
    // Asked only now: another request may have begun while the earlier runs were asked for theirs.
    const first = this.running.get(key) ?? this.answered.get(key);
    if (first !== undefined && first.fingerprint !== fingerprint) throw keyReused();
    if (this.running.has(key)) throw keyInUse();
    if (first !== undefined) return first.answer;
    return this.run({ key, fingerprint }, work);
  }

  private async run(claim: KeyClaim, work: (claim: KeyClaim) => Promise<T>): Promise<T> {
    const { key, fingerprint } = claim;
    const entry: Entry<T> = { fingerprint, answer: work(claim) };
    this.running.set(key, entry);
    try {
      const answer = await entry.answer;
      this.keep(key, entry);
      return answer;
    } catch (error) {
      if (isFinal(error)) this.keep(key, entry);
      throw error;
    } finally {
      this.running.delete(key);
    }
  }

  private isKnown(key: string): boolean {
    return this.running.has(key) || this.answered.has(key);
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

/** Whether an error is the answer to the request, and not only to its coming now. */
function isFinal(error: unknown): boolean {
  const { status, code } = problemOf(error);
  return status !== (HttpStatus.SERVICE_UNAVAILABLE as number) && code !== keyInUse().problem.code;
}
