import { createHash } from 'node:crypto';
import { HttpStatus } from '@nestjs/common';
import { problemOf } from '../operations/problem/problem.js';
import { keyInUse, keyReused, keysFull } from './idempotency-key.js';

/** A key, and the fingerprint of its request. */
export interface KeyClaim {
  readonly key: string;
  readonly fingerprint: string;
}

/** An earlier run's answer to the request of this fingerprint. */
export interface EarlierAnswer<T> {
  readonly fingerprint: string;
  readonly answer: T;
}

export interface IdempotencyStoreOptions<T> {
  /**
   * Looks for work under a key, by an earlier run or by another process: `free` if there is none, `open`
   * while that is not known. Called for keys that this process does not know, and for those whose outcome it
   * cannot tell.
   *
   * @default answers end with the process
   */
  readonly earlier?: (key: string) => Promise<EarlierAnswer<T> | 'free' | 'open'>;
  /**
   * Whether the work itself finds out what is done under its key, and answers with that. Then it is called
   * while `earlier` says `open` too, and can say more.
   *
   * @default false
   */
  readonly knowsItsKey?: boolean;
  /**
   * The present state of an answer that was not final: another answer; `open` while its work is being undone;
   * `free` if nothing was done in the end; undefined if this process does not know.
   *
   * @default nothing is known of it
   */
  readonly current?: (answer: T) => T | 'free' | 'open' | undefined;
  /**
   * Converts an error of the work into an answer that is not final. `current` uses it to find out whether all
   * work is undone.
   *
   * @default every error is final
   */
  readonly openAfter?: (error: unknown) => T | undefined;
  /**
   * How long an answer is kept, in milliseconds, and longer while its outcome is open. @default 86_400_000, a
   * day
   */
  readonly retainMs?: number;
  /**
   * The most answers that are kept. The oldest are dropped first, and those with an open outcome stay. When
   * all are open, a new key is refused.
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
  /** Used to find the outcome, if the answer was given before the end. */
  readonly open: T | undefined;
  readonly expiresAt: number;
}

/** The knowledge about a key. */
type Found<T> = Pick<Answered<T>, 'fingerprint' | 'answer'> | 'free' | 'open';

/** The number of open answers that are examined to make room for one. */
const LOOKS = 16;
/** The number examined with each new key. With more than one, ended ones do not accumulate. */
const LOOKS_PER_ANSWER = 2;

/** An error that is the answer to a request. */
class Refusal {
  constructor(readonly error: unknown) {}
}

/**
 * Answers a repeated request with the same key like the first one, and does its work once (IETF draft "The
 * Idempotency-Key HTTP Header Field").
 *
 * Final answers are kept in memory. Not the answer but the work must outlive the process. So the work writes
 * the key with its changes: the key exists if and only if the work has taken effect, and the same answer is
 * made from it. A refused request changed nothing, so after a restart it is simply done again. An answer with
 * an open outcome (202) is kept only to find the outcome: each repeated request gets the present knowledge.
 * The same holds for an error before all work was undone: until then the key is not free.
 */
export class IdempotencyStore<T> {
  /** At most as many as are kept. */
  private readonly running = new Map<string, Running>();
  /** The final answers, in order, so the oldest come first. */
  private readonly final = new Map<string, Answered<T>>();
  /** The answers whose outcome was open at the last look. */
  private readonly open = new Map<string, Answered<T>>();
  private readonly earlier: IdempotencyStoreOptions<T>['earlier'];
  private readonly knowsItsKey: boolean;
  private readonly current: IdempotencyStoreOptions<T>['current'];
  private readonly openAfter: IdempotencyStoreOptions<T>['openAfter'];
  private readonly retainMs: number;
  private readonly retainAnswers: number;
  private readonly now: () => number;

  constructor({
    earlier,
    knowsItsKey = false,
    current,
    openAfter,
    retainMs = 86_400_000,
    retainAnswers = 100_000,
    now = () => performance.now(),
  }: IdempotencyStoreOptions<T> = {}) {
    this.earlier = earlier;
    this.knowsItsKey = knowsItsKey;
    this.current = current;
    this.openAfter = openAfter;
    this.retainMs = retainMs;
    this.retainAnswers = retainAnswers;
    this.now = now;
  }

  /**
   * Does the work of the first request with the key. Its final answer, even an error, is repeated to all that
   * follow. But 503 means that nothing has happened, so once all work is undone the key is free again. While
   * the outcome is open, all that follow get the present knowledge.
   *
   * @param request the content of the request; a key belongs to one request only.
   * @param work writes the key with its changes, if they outlive the process.
   * @throws ProblemException 422 when the key belongs to another request, 409 while the first one is running
   * or is being undone, 503 for a new key when the outcome of every stored answer is open; the errors of
   * `work` and `earlier`.
   */
  async once(key: string, request: unknown, work: (claim: KeyClaim) => Promise<T>): Promise<T> {
    this.dropExpired();
    const fingerprint = createHash('sha256').update(JSON.stringify(request)).digest('base64');
    this.refuseWhileRunning(key, fingerprint);
    const known = this.known(key);
    const found = known !== undefined && this.isSettled(known) ? known : await this.find(key, known);
    // Another request may have started meanwhile.
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
   * Whether a key can be answered without reading the written record. A refusal cannot, if other processes
   * write as well: another process may have received the same request, and succeeded.
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
   * @param known an earlier answer of this process that was not final, or a refusal, if there is one.
   * @returns the present knowledge about the key. Without new knowledge, the answer stays as it was.
   */
  private async find(key: string, known: Answered<T> | undefined): Promise<Found<T>> {
    const current = known?.open === undefined ? undefined : this.current?.(known.open);
    if (known !== undefined && current !== undefined && current !== 'free') {
      if (current === 'open') {
        return known.answer instanceof Refusal && isFinal(known.answer) ? known : 'open';
      }
      // A found answer is not looked up again, and stays known when the process forgets the work.
      this.keep(key, known.fingerprint, current, isFinal(current) ? undefined : current);
      return { fingerprint: known.fingerprint, answer: current };
    }
    const isRefused = known?.answer instanceof Refusal && isFinal(known.answer);
    const left = current === 'free' && !isRefused ? undefined : known;
    // An answer that has ended without a result of its own frees the key.
    if (this.earlier === undefined) return left ?? 'free';
    const earlier = await this.earlier(key);
    const found = earlier === 'open' && this.knowsItsKey ? 'free' : earlier;
    if (left === undefined) return found;
    if (left.answer instanceof Refusal) return earlier === 'free' && isRefused ? left : found;
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
   * Makes room for the answer to one more request. Final answers are dropped first.
   *
   * @throws ProblemException 503 when the outcome of all stored answers is open.
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
   * Examines the open answer that was examined longest ago: it is kept as final, or dropped, or moved to the
   * end.
   *
   * @param mayDrop whether to drop an answer about which this process knows nothing more.
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

/** The codes of answers that say something of another request with the key. */
const OF_ANOTHER: ReadonlySet<string> = new Set([keyInUse().problem.code, keyReused().problem.code]);

/**
 * Whether an answer is final: 202 gives only the present knowledge, and 503 only means that the request came
 * at a bad time.
 */
function isFinal(answer: unknown): boolean {
  if (!(answer instanceof Refusal)) {
    return (answer as { status?: unknown } | null)?.status !== HttpStatus.ACCEPTED;
  }
  const { status, code } = problemOf(answer.error);
  return status !== (HttpStatus.SERVICE_UNAVAILABLE as number) && !OF_ANOTHER.has(code);
}
