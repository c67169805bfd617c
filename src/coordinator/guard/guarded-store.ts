import { isAtHand } from '../gate/end-of.js';
import { settled } from '../gate/settled.js';
import { describeAnswer } from '../gate/texts.js';
import { GuardStoreError } from './guard-errors.js';
import type { Awaitable } from './guard-options.js';
import type { GuardRecord, GuardStore } from './guard-store.js';
import { recordIn } from './record-in.js';

/**
 * The store of a guard behind a gate: what it answers is read once, and leads to one end. It gets copies, so that nothing
 * it does to them reaches the guard. A store in memory answers at once, and is not waited for.
 */
export class GuardedStore {
  constructor(private readonly store: GuardStore) {}

  /** @throws what the store throws, or rejects with; GuardStoreError when it answers with something else than a record. */
  get(key: string): Awaitable<GuardRecord | undefined> {
    const answer: unknown = this.store.get(key);
    return isAtHand(answer) ? recordOf('get', key, answer) : recordLater('get', key, answer);
  }

  /** @throws as {@link get}; then it is not known whether the record was written. */
  insert(key: string, record: GuardRecord): Awaitable<GuardRecord | undefined> {
    const answer: unknown = this.store.insert(key, { ...record });
    return isAtHand(answer) ? recordOf('insert', key, answer) : recordLater('insert', key, answer);
  }

  /** @throws what the store throws, or rejects with; then it is not known whether the record was written. */
  put(key: string, record: GuardRecord): Awaitable<void> {
    const answer: unknown = this.store.put(key, { ...record });
    return isAtHand(answer) ? undefined : written(answer);
  }
}

async function recordLater(
  call: 'get' | 'insert',
  key: string,
  answer: unknown,
): Promise<GuardRecord | undefined> {
  const ended = await settled(() => answer);
  if ('error' in ended) throw ended.error;
  return recordOf(call, key, ended.value);
}

async function written(answer: unknown): Promise<void> {
  const ended = await settled(() => answer);
  if ('error' in ended) throw ended.error;
}

function recordOf(call: 'get' | 'insert', key: string, value: unknown): GuardRecord | undefined {
  if (value === undefined || value === null) return undefined;
  const record = recordIn(value);
  if (record === undefined) throw new GuardStoreError(call, key, describeAnswer(value));
  return record;
}
