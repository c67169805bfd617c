import { isAtHand } from '../gate/end-of.js';
import { settled } from '../gate/settled.js';
import { describeAnswer } from '../gate/texts.js';
import { GuardStoreError } from './guard-errors.js';
import type { Awaitable } from './awaitable.js';
import type { GuardRecord, GuardStore } from './guard-store.js';
import { recordIn } from './record-in.js';

/**
 * Wraps the store of a guard. It reads each answer once, and handles each way in which a store can answer.
 * The store gets copies, so it cannot change the guard's own records. The guard does not wait for a store
 * that answers synchronously.
 */
export class GuardedStore {
  constructor(private readonly store: GuardStore) {}

  /** @throws any error of the store; GuardStoreError when the answer is not a record. */
  get(key: string): Awaitable<GuardRecord | undefined> {
    const answer: unknown = this.store.get(key);
    return isAtHand(answer) ? recordOf('get', key, answer) : recordLater('get', key, answer);
  }

  /** @throws as {@link get}. It is then unknown whether the record was written. */
  insert(key: string, record: GuardRecord): Awaitable<GuardRecord | undefined> {
    const answer: unknown = this.store.insert(key, { ...record });
    return isAtHand(answer) ? recordOf('insert', key, answer) : recordLater('insert', key, answer);
  }

  /** @throws any error of the store. It is then unknown whether the record was written. */
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
