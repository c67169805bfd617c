import { createHash } from 'node:crypto';
import { HttpStatus } from '@nestjs/common';
import { problemOf } from '../operations/problem/problem.js';
import { keyInUse, keyReused, keysFull } from './idempotency-key.js';

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
   * What an answer that was not final is by now: another answer; `open` while its work is being undone; `free` if nothing
   * was done in the end; undefined if this process does not know.
   *
   * @default nothing is known of it
   */
  readonly current?: (answer: T) => T | 'free' | 'open' | undefined;
  /**
   * What an error of the work leaves behind: an answer that is not final, by which `current` finds out whether all is undone.
   *
   * @default nothing is left behind
   */
  readonly openAfter?: (error: unknown) => T | undefined;
  /** How long an answer is kept, in milliseconds, and longer while its outcome is open. @default 86_400_000, a day */
  readonly retainMs?: number;
  /**
   * How many are kept; the oldest go first, and those whose outcome is open stay. When all are open, a new key is refused.
   *
   * @default 100_000
   */
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
  /** What the outcome is found by, if the answer was given before all was over. */
  readonly open: T | undefined;
  readonly expiresAt: number;
}

/** What is known under a key. */
type Found<T> = Pick<Answered<T>, 'fingerprint' | 'answer'> | 'free' | 'open';

/** How many open answers are looked at to make room for one. */
const LOOKS = 16;
/** And how many with each new key. With more than one, those that are over do not gather. */
const LOOKS_PER_ANSWER = 2;

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
 * what is known by then. So is an error that came before all was undone: until it is, the key is not free.
 */
export class IdempotencyStore<T> {
  /** No more than are kept. */
  private readonly running = new Map<string, Running>();
  /** Those that stay what they are, in the order of their answers, so the oldest come first. */
  private readonly final = new Map<string, Answered<T>>();
  /** Those whose outcome was open when they were looked at last. */
  private readonly open = new Map<string, Answered<T>>();
  private readonly earlier: IdempotencyStoreOptions<T>['earlier'];
  private readonly current: IdempotencyStoreOptions<T>['current'];
  private readonly openAfter: IdempotencyStoreOptions<T>['openAfter'];
  private readonly retainMs: number;
  private readonly retainAnswers: number;
  private readonly now: () => number;

  constructor({
    earlier,
    current,
    openAfter,
    retainMs = 86_400_000,
    retainAnswers = 100_000,
    now = () => performance.now(),
  }: IdempotencyStoreOptions<T> = {}) {
    this.earlier = earlier;
    this.current = current;
    this.openAfter = openAfter;
    this.retainMs = retainMs;
    this.retainAnswers = retainAnswers;
    this.now = now;
  }

  /**
   * Does the work of the first request that bears the key. Its final answer, also when it is an error, is that of all
   * that follow; but 503 says that nothing has happened, so once all is undone the key is free again. While the outcome is
   * open, all that follow are told what is known of it.
   *
   * @param request what was asked; a key stands for one request only.
   * @param work writes the key with what it changes, where that outlives the process.
   * @throws ProblemException 422 when the key stands for another request, 409 while the first one is at work or is being
   * undone, 503 for a new key when the outcome of every answer that is kept is open; the errors of `work` and `earlier`.
   */
  async once(key: string, request: unknown, work: (claim: KeyClaim) => Promise<T>): Promise<T> {
    this.dropExpired();
    const fingerprint = createHash('sha256').update(JSON.stringify(request)).digest('base64');
    this.refuseWhileRunning(key, fingerprint);
    const known = this.known(key);
    const found = known !== undefined && this.isSettled(known) ? known : await this.find(key, known);
    // Another request may have begun meanwhile.
    this.refuseWhileRunning(key, fingerprint);
    const latest = this.known(key);
    const first = latest === known ? found : latest;
    if (first === 'open') throw keyInUse();
    if (first === 'free' || first === undefined) {
      this.forget(key);
      this.makeRoom();
      return this.run({ key, fingerprint }, work);
    }
    if (known?.open !== undefined && first === found && known !== found) {
      this.keep(key, first.fingerprint, first.answer, undefined);
    }
    if (first.fingerprint !== fingerprint) throw keyReused();
    if (first.answer instanceof Refusal) throw first.answer.error;
    return first.answer;
  }

  private known(key: string): Answered<T> | undefined {
    return this.open.get(key) ?? this.final.get(key);
  }

  private forget(key: string): void {
    this.open.delete(key);
    this.final.delete(key);
  }

  /**
   * Whether a key can be answered without a look at what was written. A refusal cannot, where others write as well: another
   * process may have got the same request, and may have done what was refused here.
   */
  private isSettled({ answer, open }: Answered<T>): boolean {
    return (
      open === undefined && isFinal(answer) && (this.earlier === undefined || !(answer instanceof Refusal))
    );
  }

  private refuseWhileRunning(key: string, fingerprint: string): void {
    const running = this.running.get(key);
    if (running === undefined) return;
    throw running.fingerprint === fingerprint ? keyInUse() : keyReused();
  }

  /**
   * @param known an answer of this process that was not final, or a refusal, if it gave one.
   * @returns what is known under the key now. As long as nothing more is known, the answer stays what it was.
   */
  private async find(key: string, known: Answered<T> | undefined): Promise<Found<T>> {
    const current = known?.open === undefined ? undefined : this.current?.(known.open);
    if (known !== undefined && current !== undefined && current !== 'free') {
      if (current === 'open') {
        return known.answer instanceof Refusal && isFinal(known.answer) ? known : 'open';
      }
      // What was found is not looked for again, and is known also when the process forgets the work.
      this.keep(key, known.fingerprint, current, isFinal(current) ? undefined : current);
      return { fingerprint: known.fingerprint, answer: current };
    }
    const isRefused = known?.answer instanceof Refusal && isFinal(known.answer);
    const left = current === 'free' && !isRefused ? undefined : known;
    // One that is over without an answer of its own leaves the key to others.
    if (this.earlier === undefined) return left ?? 'free';
    const earlier = await this.earlier(key);
    if (left === undefined) return earlier;
    if (left.answer instanceof Refusal) return earlier === 'free' && isRefused ? left : earlier;
    return earlier === 'open' ? left : earlier;
  }

  private async run(claim: KeyClaim, work: (claim: KeyClaim) => Promise<T>): Promise<T> {
    const { key, fingerprint } = claim;
    this.running.set(key, { fingerprint });
    try {
      const answer = await work(claim);
      this.keep(key, fingerprint, answer, isFinal(answer) ? undefined : answer);
      return answer;
    } catch (error) {
      const refusal = new Refusal(error);
      const open = this.openAfter?.(error);
      if (open !== undefined || isFinal(refusal)) this.keep(key, fingerprint, refusal, open);
      throw error;
    } finally {
      this.running.delete(key);
    }
  }

  private keep(key: string, fingerprint: string, answer: T | Refusal, open: T | undefined): void {
    this.forget(key);
    const kept = open === undefined ? this.final : this.open;
    kept.set(key, { fingerprint, answer, open, expiresAt: this.now() + this.retainMs });
    const [oldest] = this.final.keys();
    if (this.open.size + this.final.size > this.retainAnswers && oldest !== undefined)
      this.final.delete(oldest);
  }

  /**
   * Makes sure that there is a place for the answer to one more request. Answers that are final give theirs up first.
   *
   * @throws ProblemException 503 when the outcome of all that are kept is open.
   */
  private makeRoom(): void {
    const few = Math.min(LOOKS_PER_ANSWER, this.open.size);
    for (let looks = 0; looks < few; looks++) this.lookAtOldest(false);
    for (let looks = 0; this.open.size + this.running.size >= this.retainAnswers; looks++) {
      if (looks === LOOKS || this.open.size === 0) throw keysFull(this.retainAnswers);
      this.lookAtOldest(true);
    }
  }

  private dropExpired(): void {
    const now = this.now();
    for (const [key, { expiresAt }] of this.final) {
      if (expiresAt > now) break;
      this.final.delete(key);
    }
    for (let looks = 0; looks < LOOKS; looks++) {
      const [oldest] = this.open.values();
      if (oldest === undefined || oldest.expiresAt > now) return;
      this.lookAtOldest(true);
    }
  }

  /**
   * Looks at the open answer that was looked at longest ago: it is kept as final, or dropped, or is the last to be looked at.
   *
   * @param mayDrop whether an answer goes of which this process knows nothing more.
   */
  private lookAtOldest(mayDrop: boolean): void {
    const [oldest] = this.open;
    if (oldest === undefined) return;
    const [key, kept] = oldest;
    this.open.delete(key);
    const current = kept.open === undefined ? undefined : this.current?.(kept.open);
    if (current === 'open') this.open.set(key, kept);
    else if (current === undefined || current === 'free') {
      const isRefused = kept.answer instanceof Refusal;
      if (isRefused && isFinal(kept.answer)) this.final.set(key, { ...kept, open: undefined });
      else if (current === undefined && !isRefused && !mayDrop) this.open.set(key, kept);
    } else if (isFinal(current)) this.final.set(key, { ...kept, answer: current, open: undefined });
    else this.open.set(key, { ...kept, answer: current, open: current });
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
