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
   * Looks for what was done under a key, by an earlier run or by another process: `free` if nothing was, `open` while that
   * is not known. Asked for keys that this process does not know, and for those whose outcome it cannot tell.
   *
   * @default answers end with the process
   */
  readonly earlier?: (key: string) => Promise<EarlierAnswer<T> | 'free' | 'open'>;
  /**
   * What an answer that was not final is by now: another answer, or `free` if nothing was done in the end; undefined if this
   * process does not know.
   *
   * @default nothing is known of it
   */
  readonly current?: (answer: T) => T | 'free' | undefined;
  /** How long an answer is kept, in milliseconds. @default 86_400_000, a day */
  readonly retainMs?: number;
  /** How many are kept; the oldest go first. @default 100_000 */
  readonly retainAnswers?: number;
  /** A monotonic clock, in milliseconds. @default performance.now */
  readonly now?: () => number;
}

interface Running {
  readonly fingerprint: string;
}

interface Answered<T> {
  readonly fingerprint: string;
  readonly answer: T | Refusal;
  readonly expiresAt: number;
}

/** An error that is the answer to a request. */
class Refusal {
  constructor(readonly error: unknown) {}
}

/**
 * Answers a request that is repeated under the same key as it was answered first, and does its work once
 * (IETF draft "The Idempotency-Key HTTP Header Field").
 *
 * Final answers are kept in memory. What has to outlive the process is not the answer but what was done, and that is kept
 * with the work itself: the key is a part of what the work writes, so it is there if and only if the work has taken effect,
 * and the same answer is made of it. A request that was refused changed nothing, so that after a restart it is simply done
 * anew. An answer that says that the outcome is open (202) is kept only to find the outcome: each repeated request gets
 * what is known by then.
 */
export class IdempotencyStore<T> {
  /** As many as requests are being served, so they need no limit of their own. */
  private readonly running = new Map<string, Running>();
  /** In the order of their answers, so the oldest come first. */
  private readonly answered = new Map<string, Answered<T>>();
  private readonly earlier: IdempotencyStoreOptions<T>['earlier'];
  private readonly current: IdempotencyStoreOptions<T>['current'];
  private readonly retainMs: number;
  private readonly retainAnswers: number;
  private readonly now: () => number;

  constructor({
    earlier,
    current,
    retainMs = 86_400_000,
    retainAnswers = 100_000,
    now = () => performance.now(),
  }: IdempotencyStoreOptions<T> = {}) {
    this.earlier = earlier;
    this.current = current;
    this.retainMs = retainMs;
    this.retainAnswers = retainAnswers;
    this.now = now;
  }

  /**
   * Does the work of the first request that bears the key. Its final answer, also when it is an error, is that of all
   * that follow; but 503 says that nothing has happened, so after it the key is free again. While the outcome is open, all
   * that follow are told what is known of it.
   *
   * @param request what was asked; a key stands for one request only.
   * @param work writes the key with what it changes, where that outlives the process.
   * @throws ProblemException 422 when the key stands for another request, 409 while the first one is at work;
   * the errors of `work` and `earlier`.
   */
  async once(key: string, request: unknown, work: (claim: KeyClaim) => Promise<T>): Promise<T> {
    this.dropExpired();
    const fingerprint = createHash('sha256').update(JSON.stringify(request)).digest('base64');
    this.refuseWhileRunning(key, fingerprint);
    const known = this.answered.get(key);
    const found = known !== undefined && this.isSettled(known) ? known : await this.find(key, known);
    // Another request may have begun meanwhile.
    this.refuseWhileRunning(key, fingerprint);
    const latest = this.answered.get(key);
    const first = latest === known ? found : latest;
    if (first === 'open') throw keyInUse();
    if (first === 'free' || first === undefined) {
      this.answered.delete(key);
      return this.run({ key, fingerprint }, work);
    }
    if (first.fingerprint !== fingerprint) throw keyReused();
    if (first.answer instanceof Refusal) throw first.answer.error;
    return first.answer;
  }

  /**
   * Whether a key can be answered without a look at what was written. A refusal cannot, where others write as well: another
   * process may have got the same request, and may have done what was refused here.
   */
  private isSettled({ answer }: Answered<T>): boolean {
    return isFinal(answer) && (this.earlier === undefined || !(answer instanceof Refusal));
  }

  private refuseWhileRunning(key: string, fingerprint: string): void {
    const running = this.running.get(key);
    if (running === undefined) return;
    throw running.fingerprint === fingerprint ? keyInUse() : keyReused();
  }

  /**
   * @param known an answer of this process that was not final, if it gave one.
   * @returns what is known under the key now. As long as nothing more is known, the answer stays what it was.
   */
  private async find(
    key: string,
    known: Answered<T> | undefined,
  ): Promise<Pick<Answered<T>, 'fingerprint' | 'answer'> | 'free' | 'open'> {
    if (known !== undefined && !(known.answer instanceof Refusal)) {
      const current = this.current?.(known.answer);
      if (current === 'free') return 'free';
      if (current !== undefined) return { fingerprint: known.fingerprint, answer: current };
    }
    if (this.earlier === undefined) return known ?? 'free';
    const earlier = await this.earlier(key);
    if (known === undefined) return earlier;
    if (known.answer instanceof Refusal) return earlier === 'free' ? known : earlier;
    return earlier === 'open' ? known : earlier;
  }

  private async run(claim: KeyClaim, work: (claim: KeyClaim) => Promise<T>): Promise<T> {
    const { key, fingerprint } = claim;
    this.running.set(key, { fingerprint });
    try {
      const answer = await work(claim);
      this.keep(key, fingerprint, answer);
      return answer;
    } catch (error) {
      const refusal = new Refusal(error);
      if (isFinal(refusal)) this.keep(key, fingerprint, refusal);
      throw error;
    } finally {
      this.running.delete(key);
    }
  }

  private keep(key: string, fingerprint: string, answer: T | Refusal): void {
    this.answered.set(key, { fingerprint, answer, expiresAt: this.now() + this.retainMs });
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

/** Whether an answer stays what it is: 202 tells only what is known so far, and a 503 only that the request came at a bad time. */
function isFinal(answer: unknown): boolean {
  if (!(answer instanceof Refusal)) {
    return (answer as { status?: unknown } | null)?.status !== HttpStatus.ACCEPTED;
  }
  const { status, code } = problemOf(answer.error);
  return status !== (HttpStatus.SERVICE_UNAVAILABLE as number) && code !== keyInUse().problem.code;
}
