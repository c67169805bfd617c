import { settled } from '../gate/settled.js';
import { describeAnswer } from '../gate/texts.js';
import { GuardStoreError } from './guard-errors.js';
import type { GuardRecord, GuardStore } from './guard-store.js';
import { recordIn } from './record-in.js';

/**
 * The store of a guard behind a gate: what it throws, at once or later, is a rejection, and what it answers is read once.
 * It gets copies, so that nothing it does to them reaches the guard.
 */
export class GuardedStore {
  constructor(private readonly store: GuardStore) {}

  /** @throws what the store throws; GuardStoreError when it answers with something else than a record. */
  async get(key: string): Promise<GuardRecord | undefined> {
    return recordOf('get', key, await ask(() => this.store.get(key)));
  }

  /** @throws as {@link get}; then it is not known whether the record was written. */
  async insert(key: string, record: GuardRecord): Promise<GuardRecord | undefined> {
    return recordOf('insert', key, await ask(() => this.store.insert(key, { ...record })));
  }

  /** @throws what the store throws; then it is not known whether the record was written. */
  async put(key: string, record: GuardRecord): Promise<void> {
    await ask(() => this.store.put(key, { ...record }));
  }
}

/** @returns the answer in an object of its own: to return it as it is would ask it once more whether it is a promise. */
async function ask(call: () => unknown): Promise<{ readonly value: unknown }> {
  const ended = await settled(call);
  if ('error' in ended) throw ended.error;
  return ended;
}

function recordOf(
  call: 'get' | 'insert',
  key: string,
  { value }: { readonly value: unknown },
): GuardRecord | undefined {
  if (value === undefined || value === null) return undefined;
  const record = recordIn(value);
  if (record === undefined) throw new GuardStoreError(call, key, describeAnswer(value));
  return record;
}
