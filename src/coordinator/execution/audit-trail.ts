import { LogUnavailableError } from '../log/log-errors.js';
import { AUDIT_KEPT, type AuditEntry } from '../log/decision-log.js';
import type { ClaimedLog } from './claimed-log.js';
import { messageOf } from './incident.js';

/** What operators have ordered, the latest entries of it, in memory and in the log. */
export class AuditTrail {
  private readonly entries: AuditEntry[];
  private lastNumber: number;

  /** @param earlier the entries of earlier runs. */
  constructor(
    private readonly log: ClaimedLog,
    earlier: readonly AuditEntry[],
  ) {
    this.entries = [...earlier];
    this.lastNumber = earlier.at(-1)?.number ?? 0;
  }

  /**
   * Writes an entry down, before what it tells of is done.
   *
   * @throws (as a rejection) LogUnavailableError when it cannot be written. Then nothing is to be done.
   */
  async write(entry: Omit<AuditEntry, 'number'>): Promise<void> {
    const numbered = { number: ++this.lastNumber, ...entry };
    try {
      await this.log.storage.audit(numbered);
    } catch (error) {
      this.log.failed(error);
      throw new LogUnavailableError(messageOf(error));
    }
    this.entries.push(numbered);
    if (this.entries.length > AUDIT_KEPT) this.entries.shift();
  }

  /**
   * @param before the number of an entry; only those before it are listed.
   * @returns at most so many entries, the youngest first.
   */
  list(limit: number, before = Infinity): readonly AuditEntry[] {
    return this.entries
      .filter(({ number }) => number < before)
      .toSorted((a, b) => b.number - a.number)
      .slice(0, limit);
  }
}
