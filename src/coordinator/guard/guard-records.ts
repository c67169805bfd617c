import { randomUUID } from 'node:crypto';
import { endOf } from '../gate/end-of.js';
import type { AbortVote } from '../participant/participant.js';
import type { Awaitable } from './guard-options.js';
import type { GuardRecord } from './guard-store.js';
import type { GuardedStore } from './guarded-store.js';

/** A prepare could not be written down, so its work was not begun, whatever the store says. */
export const UNTOUCHED = { state: 'untouched' } as const;

/** What is about to be done to a branch. */
export type GuardIntent =
  | { readonly state: 'committing' }
  | { readonly state: 'rolling-back'; readonly answer?: AbortVote | undefined };

/** What is true of a branch. */
export type GuardFact = GuardRecord | typeof UNTOUCHED;

/**
 * The records of one guard. While a store fails it does not say what is true: work is done and its record is not written,
 * or the other way round. This process remembers the truth until it is written, so that no effect is repeated for that.
 */
export class GuardRecords {
  /** Stands in each intent, so that one of this process is not mistaken for one that a process has left behind. */
  private readonly by = randomUUID();
  /** What is true where the store may say something else. */
  private readonly known = new Map<string, GuardFact>();

  constructor(private readonly store: GuardedStore) {}

  /** For how many branches the store may not say what is true. */
  get unwritten(): number {
    return this.known.size;
  }

  /** @returns what is true of the branch, or undefined when it is not known here. */
  async read(key: string): Promise<GuardFact | undefined> {
    return this.correct(key, await this.store.get(key));
  }

  /** A prepare begins. @returns what was true before, or undefined when its work is to be done now. */
  async begin(key: string): Promise<GuardRecord | undefined> {
    let existing: GuardRecord | undefined;
    try {
      existing = await this.store.insert(key, { state: 'preparing', by: this.by });
    } catch (error) {
      if (!this.known.has(key)) this.known.set(key, UNTOUCHED);
      throw error;
    }
    const fact = this.correct(key, existing);
    if (fact?.state !== 'untouched') return fact;
    this.known.delete(key);
    return undefined;
  }

  /** Leaves a tombstone, unless there is a record. @returns what was true before, or undefined. */
  async bury(key: string): Promise<GuardFact | undefined> {
    const existing = await this.store.insert(key, { state: 'rolled-back' });
    if (existing === undefined && this.known.get(key)?.state === 'untouched') this.known.delete(key);
    return this.correct(key, existing);
  }

  /** Does what is written down before, and after which the caller writes down that it is done. */
  async doOnce(key: string, intent: GuardIntent, effect: () => Awaitable<void>): Promise<void> {
    await this.intend(key, intent);
    const ended = await endOf(effect);
    if (!('error' in ended)) return;
    // If this fails too, the process remembers it. The caller hears of the first error.
    await this.settleFailed(key, intent).catch(() => {});
    throw ended.error;
  }

  /** Writes down what is about to be done. If that fails it is not done, and is due again. */
  private async intend(key: string, intent: GuardIntent): Promise<void> {
    try {
      await this.store.put(key, { ...intent, step: 'begun', by: this.by });
    } catch (error) {
      this.known.set(key, this.failed(intent));
      throw error;
    }
    this.known.delete(key);
  }

  /** Writes down that what was intended has failed, and is due again. */
  private settleFailed(key: string, intent: GuardIntent): Promise<void> {
    return this.settle(key, this.failed(intent));
  }

  /** Writes down what has happened. If that fails it is remembered, and written by the next call for the branch. */
  async settle(key: string, record: GuardRecord): Promise<void> {
    try {
      await this.store.put(key, record);
    } catch (error) {
      this.known.set(key, record);
      throw error;
    }
    this.known.delete(key);
  }

  /** Writes down what only this process knows, before it is reported: after a report no other call need come. */
  async confirm(key: string, fact: GuardFact | undefined): Promise<void> {
    if (fact === undefined || fact.state === 'untouched' || !this.known.has(key)) return;
    // The report is true all the same, and the process still remembers it.
    await this.settle(key, fact).catch(() => {});
  }

  private failed(intent: GuardIntent): GuardRecord {
    return { ...intent, step: 'failed', by: this.by };
  }

  private correct(key: string, stored: GuardRecord | undefined): GuardFact | undefined {
    const known = this.known.get(key);
    if (known === undefined) return stored;
    if (isFinal(known) || stored === undefined || this.holds(known, stored)) return known;
    // Another process has gone on with the branch since.
    this.known.delete(key);
    return stored;
  }

  /** Whether what is known is younger than what is stored. */
  private holds(known: GuardFact, stored: GuardRecord): boolean {
    const isOwnIntent = 'by' in stored && stored.by === this.by;
    // One that was not begun may be a repeat of one that was, and then its record counts.
    if (known.state === 'untouched') return isOwnIntent && stored.state === 'preparing';
    return isOwnIntent || stored.state === 'voted' || stored.state === 'failed';
  }
}

function isFinal({ state }: GuardFact): boolean {
  return state === 'committed' || state === 'rolled-back';
}
