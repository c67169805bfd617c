import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { type GuardRecord, type GuardStore, MemoryGuardStore } from '../../src/coordinator/index.js';
import { settled } from '../../src/coordinator/gate/settled.js';
import { type HostileValue, hostileAnswers } from './hostile-values.js';

/** How a call of hostile code ends, as a copy of it did that was tried before. */
export type Ending = { readonly value: unknown } | { readonly error: unknown } | 'never';

/** A hostile answer whose ending is known. */
export interface TriedAnswer extends HostileValue {
  readonly ending: Ending;
}

/**
 * @returns the answer with its ending. What comes within a few turns of the event loop comes; the rest never
 * does.
 */
export async function tried(answer: HostileValue): Promise<TriedAnswer> {
  const turns = async (): Promise<'never'> => {
    for (let turn = 0; turn < 4; turn++) await setImmediate();
    return 'never';
  };
  return { ...answer, ending: await Promise.race([settled(answer.make), turns()]) };
}

/**
 * The behaviour of a store in one call. `before` and `after` say whether it fails before or after it has
 * written.
 */
const KINDS = [
  'sound',
  'throws before',
  'throws after',
  'rejects before',
  'rejects after',
  'is late to write',
  'is late to answer',
  'is late to reject before',
  'is late to reject after',
  'hangs before',
  'hangs after',
  'answers nonsense before',
  'answers nonsense after',
] as const;
export type StoreDeedKind = (typeof KINDS)[number];

export interface StoreDeed {
  readonly kind: StoreDeedKind;
  readonly nonsense: HostileValue;
}

/** Objects that look like a record, and are none. */
const NO_RECORDS: readonly unknown[] = [
  {},
  { state: 'prepared' },
  { state: 'voted' },
  { state: 'voted', vote: 'yes' },
  { state: 'failed' },
  { state: 'committing' },
  { state: 'committing', step: 'done' },
  { state: 'rolling-back', step: 'begun', answer: 'commit' },
  { state: 'rolled-back', answer: 'abort' },
  { state: 'run' },
  { state: 7 },
  'committed',
];

const nonsense: fc.Arbitrary<HostileValue> = fc.oneof(
  hostileAnswers,
  fc
    .constantFrom(...NO_RECORDS)
    .map((value) => ({ label: JSON.stringify(value), make: () => structuredClone(value) })),
);

export const storeDeeds: fc.Arbitrary<StoreDeed> = fc.record({
  kind: fc.oneof(
    { weight: 3, arbitrary: fc.constant('sound' as const) },
    { weight: 4, arbitrary: fc.constantFrom(...KINDS) },
  ),
  nonsense,
});

/** A deed with the ending of its nonsense. */
export interface TriedDeed {
  readonly kind: StoreDeedKind;
  readonly nonsense: TriedAnswer;
}

/** @returns the deed. An answer that says that there is no record would be a lie, and not nonsense. */
export async function triedDeed({ kind, nonsense: answer }: StoreDeed): Promise<TriedDeed> {
  const one = await tried(answer);
  const isLie =
    typeof one.ending === 'object' &&
    'value' in one.ending &&
    (one.ending.value === undefined || one.ending.value === null);
  return { kind: isLie && kind.startsWith('answers') ? 'sound' : kind, nonsense: one };
}

/**
 * A store that does as it is told in its first calls, and is sound afterwards. What it has rejected it never
 * writes later.
 */
export class HostileGuardStore implements GuardStore {
  readonly seen: StoreDeedKind[] = [];
  /** Answers on their way, to be released in any order. */
  readonly pending: (() => void)[] = [];
  /** Whether a call will never be answered. */
  hangs = false;
  /** The errors that it has thrown. */
  readonly thrown = new Set<unknown>();
  private calls = 0;
  private isSound = false;
  private isDead = false;

  constructor(
    private readonly deeds: readonly TriedDeed[],
    readonly records = new MemoryGuardStore(),
  ) {}

  /** From now on it does nothing wrong. */
  heal(): void {
    this.isSound = true;
  }

  /** The process that uses it has ended: answers on their way are lost, and nothing more is written. */
  die(): void {
    this.isDead = true;
    this.pending.length = 0;
  }

  get(key: string): Promise<GuardRecord | undefined> {
    return this.call(() => this.records.get(key), false) as Promise<GuardRecord | undefined>;
  }

  insert(key: string, record: GuardRecord): Promise<GuardRecord | undefined> {
    return this.call(() => this.records.insert(key, record), false) as Promise<GuardRecord | undefined>;
  }

  put(key: string, record: GuardRecord): Promise<void> {
    return this.call(() => this.records.put(key, record), true) as Promise<void>;
  }

  /** @param isWrite whether any answer says that it is written, so that it has to be. */
  private call(work: () => unknown, isWrite: boolean): unknown {
    if (this.isDead) return new Promise(() => {});
    const deed = this.isSound ? undefined : this.deeds[this.calls++];
    const kind = deed?.kind ?? 'sound';
    this.seen.push(kind);
    const isAfter = kind.endsWith('after') || (kind.startsWith('answers') && isWrite);
    const result = isAfter ? work() : undefined;
    switch (kind) {
      case 'sound':
        return work();
      case 'throws before':
      case 'throws after':
        throw this.failure();
      case 'rejects before':
      case 'rejects after':
        return Promise.reject(this.failure());
      case 'is late to write':
        return this.later((resolve) => resolve(work()));
      case 'is late to answer': {
        const answer = work();
        return this.later((resolve) => resolve(answer));
      }
      case 'is late to reject before':
      case 'is late to reject after':
        return this.later((_, reject) => reject(this.failure()));
      case 'hangs before':
      case 'hangs after':
        this.hangs = true;
        return new Promise(() => {});
      case 'answers nonsense before':
      case 'answers nonsense after':
        if (deed?.nonsense.ending === 'never') this.hangs = true;
        return deed?.nonsense.make() ?? result;
    }
  }

  private later(end: (resolve: (value: unknown) => void, reject: (error: unknown) => void) => void): unknown {
    return new Promise((resolve, reject) => {
      this.pending.push(() => end(resolve, reject));
    });
  }

  private failure(): Error {
    const error = new Error('the store is down');
    this.thrown.add(error);
    return error;
  }
}
