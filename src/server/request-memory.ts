import { RequestKeyReusedError, TooManyKeysError } from './errors.js';

/** The limits of {@link RequestMemory}. */
export interface RequestMemoryOptions {
  /** For how long an answer is remembered at least, in milliseconds. */
  readonly keyRetentionMs: number;
  /**
   * The most keys that are remembered. A new one beyond them is refused: none is forgotten before its time.
   */
  readonly maxKeys: number;
  /** A monotonic clock, in milliseconds. @default performance.now */
  readonly now?: () => number;
}

/** The result of the work of a request. */
export interface Done<T> {
  readonly answer: T;
  /**
   * Whether repeats get this answer. Otherwise the key is free for a new try: nothing was changed, or the
   * work knows its key.
   */
  readonly isKept: boolean;
}

interface Entry<T> {
  readonly fingerprint: string;
  readonly answer: Promise<T>;
}

/** An entry whose work is done. */
interface AnsweredEntry<T> extends Entry<T> {
  readonly value: T;
  readonly expiresAt: number;
}

/**
 * Does the work of a request once, and gives every repeat with its key the same answer. An error says that
 * nothing was done, so its key is free again.
 */
export class RequestMemory<T> {
  private readonly running = new Map<string, Entry<T>>();
  /** In the order in which they expire. */
  private readonly answered = new Map<string, AnsweredEntry<T>>();
  private readonly byId = new Map<string, T>();
  private readonly now: () => number;

  /** @param idOf the id of the transaction of an answer. */
  constructor(
    private readonly options: RequestMemoryOptions,
    private readonly idOf: (answer: T) => string,
  ) {
    this.now = options.now ?? (() => performance.now());
  }

  /**
   * @throws (as a rejection) RequestKeyReusedError, TooManyKeysError, or the error of the work.
   */
  async once(key: string, fingerprint: string, work: () => Promise<Done<T>>): Promise<T> {
    this.dropExpired();
    const known = this.running.get(key) ?? this.answered.get(key);
    if (known !== undefined) {
      if (known.fingerprint !== fingerprint) throw new RequestKeyReusedError();
      return known.answer;
    }
    const { maxKeys } = this.options;
    if (this.running.size + this.answered.size >= maxKeys) throw new TooManyKeysError(maxKeys);
    const done = work();
    const entry: Entry<T> = { fingerprint, answer: done.then(({ answer }) => answer) };
    // The first request gets the error from `done`; this promise may have no reader.
    entry.answer.catch(() => {});
    this.running.set(key, entry);
    try {
      const { answer, isKept } = await done;
      if (isKept) this.keep(key, entry, answer);
      return answer;
    } finally {
      this.running.delete(key);
    }
  }

  /** Frees a key whose answer was open, and of which it is known now that nothing was changed. */
  forget(key: string, answer: T): void {
    if (this.answered.get(key)?.value === answer) this.drop(key, answer);
  }

  /** @returns the answer that is remembered of this transaction. */
  find(transactionId: string): T | undefined {
    this.dropExpired();
    return this.byId.get(transactionId);
  }

  private keep(key: string, { fingerprint, answer }: Entry<T>, value: T): void {
    const expiresAt = this.now() + this.options.keyRetentionMs;
    this.answered.set(key, { fingerprint, answer, value, expiresAt });
    this.byId.set(this.idOf(value), value);
  }

  private drop(key: string, value: T): void {
    this.answered.delete(key);
    this.byId.delete(this.idOf(value));
  }

  private dropExpired(): void {
    const now = this.now();
    for (const [key, { expiresAt, value }] of this.answered) {
      if (expiresAt > now) return;
      this.drop(key, value);
    }
  }
}
