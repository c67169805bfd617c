import { randomUUID } from 'node:crypto';
import { endOf } from '../gate/end-of.js';
import type { AbortVote } from '../participant/participant.js';
import type { Awaitable } from './awaitable.js';
import type { GuardRecord } from './guard-store.js';
import type { GuardedStore } from './guarded-store.js';

/** A prepare could not be recorded, so its work did not start, even if the store contains a record. */
export const UNTOUCHED = { state: 'untouched' } as const;

/** An effect on a branch that is about to start. */
export type GuardIntent =
  | { readonly state: 'committing' }
  | { readonly state: 'rolling-back'; readonly answer?: AbortVote | undefined };

/** The true state of a branch. */
export type GuardFact = GuardRecord | typeof UNTOUCHED;

/**
 * The records of one guard. When a store fails, its records may differ from the truth: an effect is done but
 * not recorded, or recorded but not done. This process remembers the truth until it is written, so that it
 * repeats no effect.
 */
export class GuardRecords {
  /** Marks each intent of this process, to tell it from one that an ended process left. */
  private readonly by = randomUUID();
  /** The true states where the store may hold another one. */
  private readonly known = new Map<string, GuardFact>();

  constructor(private readonly store: GuardedStore) {}

  /** The number of branches for which the store may not hold the true state. */
  get unwritten(): number {
    return this.known.size;
  }

  /** @returns the true state of the branch, or undefined when this process does not know it. */
  async read(key: string): Promise<GuardFact | undefined> {
    return this.correct(key, await this.store.get(key));
  }

  /** Starts a prepare. @returns the earlier state, or undefined when the work must be done now. */
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

  /** Writes a tombstone, unless there is a record. @returns the earlier state, or undefined. */
  async leaveTombstone(key: string): Promise<GuardFact | undefined> {
    const existing = await this.store.insert(key, { state: 'rolled-back' });
    if (existing === undefined && this.known.get(key)?.state === 'untouched') this.known.delete(key);
    return this.correct(key, existing);
  }

  /** Runs an effect whose intent is recorded first. The caller records afterwards that it is done. */
  async doOnce(key: string, intent: GuardIntent, effect: () => Awaitable<void>): Promise<void> {
    await this.intend(key, intent);
    const ended = await endOf(effect);
    if (!('error' in ended)) return;
    // If this fails too, the process remembers it. The caller gets the first error.
    await this.settleFailed(key, intent).catch(() => {});
    throw ended.error;
  }

  /** Records an intended effect. If the write fails, the effect does not run and is still to do. */
  private async intend(key: string, intent: GuardIntent): Promise<void> {
    try {
      await this.store.put(key, { ...intent, step: 'begun', by: this.by });
    } catch (error) {
      this.known.set(key, this.failed(intent));
      throw error;
    }
    this.known.delete(key);
  }

  /** Records that an intended effect has failed and is still to do. */
  private settleFailed(key: string, intent: GuardIntent): Promise<void> {
    return this.settle(key, this.failed(intent));
  }

  /**
   * Records an effect that is done. If the write fails, the process remembers it, and the next call for the
   * branch writes it.
   */
  async settle(key: string, record: GuardRecord): Promise<void> {
    try {
      await this.store.put(key, record);
    } catch (error) {
      this.known.set(key, record);
      throw error;
    }
    this.known.delete(key);
  }

  /** Writes what only this process knows before the caller reports it: no other call may follow a report. */
  async confirm(key: string, fact: GuardFact | undefined): Promise<void> {
    if (fact === undefined || fact.state === 'untouched' || !this.known.has(key)) return;
    // The report is still true, and the process still remembers it.
    await this.settle(key, fact).catch(() => {});
  }

  private failed(intent: GuardIntent): GuardRecord {
    return { ...intent, step: 'failed', by: this.by };
  }

  private correct(key: string, stored: GuardRecord | undefined): GuardFact | undefined {
    const known = this.known.get(key);
    if (known === undefined) return stored;
    if (isFinal(known) || stored === undefined || this.holds(known, stored)) return known;
    // Another process has continued the branch since.
    this.known.delete(key);
    return stored;
  }

  /** Whether the state in memory is newer than the stored record. */
  private holds(known: GuardFact, stored: GuardRecord): boolean {
    const isOwnIntent = 'by' in stored && stored.by === this.by;
    // A prepare that did not start may repeat one that did. Then the record of the first counts.
    if (known.state === 'untouched') return isOwnIntent && stored.state === 'preparing';
    return isOwnIntent || stored.state === 'voted' || stored.state === 'failed';
  }
}

function isFinal({ state }: GuardFact): boolean {
  return state === 'committed' || state === 'rolled-back';
}
