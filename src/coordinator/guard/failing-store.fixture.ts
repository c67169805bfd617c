import type { GuardRecord, GuardStore } from './guard-store.js';
import { MemoryGuardStore } from './memory-guard-store.js';

/** A store that fails on demand, before or after the requested operation. */
export class FailingStore implements GuardStore {
  /** Called at each operation. */
  fails: (call: 'get' | 'insert' | 'put', record?: GuardRecord) => 'before' | 'after' | undefined = () =>
    undefined;

  constructor(readonly records = new MemoryGuardStore()) {}

  get(key: string): Promise<GuardRecord | undefined> {
    return this.call('get', undefined, () => this.records.get(key));
  }

  insert(key: string, record: GuardRecord): Promise<GuardRecord | undefined> {
    return this.call('insert', record, () => this.records.insert(key, record));
  }

  put(key: string, record: GuardRecord): Promise<void> {
    return this.call('put', record, () => this.records.put(key, record));
  }

  /** Makes the next write of a record in this state fail, once. */
  failOnce(state: GuardRecord['state'], when: 'before' | 'after' = 'before'): void {
    this.fails = (call, record) => {
      if (call === 'get' || record?.state !== state) return undefined;
      this.fails = () => undefined;
      return when;
    };
  }

  private async call<T>(
    name: 'get' | 'insert' | 'put',
    record: GuardRecord | undefined,
    work: () => T,
  ): Promise<T> {
    const fails = this.fails(name, record);
    if (fails === 'before') throw new Error('the store is down');
    const result = work();
    if (fails === 'after') throw new Error('the answer of the store was lost');
    return result;
  }
}
