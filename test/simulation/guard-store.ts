import type { GuardRecord, GuardStore, MemoryGuardStore } from '../../src/coordinator/index.js';
import type { Participant } from './participant.js';

/**
 * A guard store that takes its time over some calls, so that its participant may crash before and after each
 * write.
 */
export class SlowGuardStore implements GuardStore {
  constructor(
    private readonly records: MemoryGuardStore,
    private readonly participant: Participant,
  ) {}

  get(key: string): GuardRecord | undefined | Promise<GuardRecord | undefined> {
    return this.slowly(() => this.records.get(key));
  }

  insert(key: string, record: GuardRecord): GuardRecord | undefined | Promise<GuardRecord | undefined> {
    return this.slowly(() => this.records.insert(key, record));
  }

  put(key: string, record: GuardRecord): void | Promise<void> {
    return this.slowly(() => this.records.put(key, record));
  }

  private slowly<T>(step: () => T): T | Promise<T> {
    const { participant } = this;
    if (!participant.storeIsSlow()) return step();
    return participant
      .pause(participant.storeLatencyMs())
      .then(step)
      .then(async (result) => {
        await participant.pause(participant.storeLatencyMs());
        return result;
      });
  }
}
