import { LogUnavailableError } from '../log/log-errors.js';
import { AUDIT_KEPT, type AuditEntry } from '../log/decision-log.js';
import type { SharedAuditEntry, SharedDecisionLog } from '../log/shared-log.js';
import type { ClaimedLog } from '../log/claimed-log.js';
import { messageOf } from '../gate/texts.js';
import { LATE, type TimeLimits } from '../execution/time-limits.js';

/** How long the log may take to store an entry, in milliseconds. */
const ANSWER_WITHIN_MS = 10_000;

/** The audit trail of operators' orders: the latest entries, in memory and in the log. */
export class AuditTrail {
  private readonly entries: AuditEntry[];
  private lastNumber: number;

  /** @param earlier the entries of earlier runs. */
  constructor(
    private readonly log: ClaimedLog,
    private readonly timeLimits: TimeLimits,
    earlier: readonly AuditEntry[],
  ) {
    this.entries = [...earlier];
    this.lastNumber = earlier.at(-1)?.number ?? 0;
  }

  /**
   * Writes an entry before its order is carried out.
   *
   * @throws (as a rejection) LogUnavailableError when it cannot be written, or it is not known in time
   * whether it was. The order must then not be carried out. The entry may still appear after the next start.
   */
  async write(entry: Omit<AuditEntry, 'number'>): Promise<void> {
    const numbered = { number: ++this.lastNumber, ...entry };
    try {
      const written = await this.timeLimits.within(this.log.storage.audit(numbered), ANSWER_WITHIN_MS);
      if (written === LATE) throw new Error(`it has not answered for ${ANSWER_WITHIN_MS} ms`);
    } catch (error) {
      this.log.failed(error);
      throw new LogUnavailableError(messageOf(error));
    }
    this.entries.push(numbered);
    if (this.entries.length > AUDIT_KEPT) this.entries.shift();
  }

  /**
   * @returns the entries of all members, in the order in which the log has taken them.
   * @throws (as a rejection) LogUnavailableError when the log does not answer.
   */
  ofAll(shared: SharedDecisionLog): Promise<readonly SharedAuditEntry[]> {
    return this.read(() => shared.audits());
  }

  /**
   * Reads something from the log for an operator.
   *
   * @throws (as a rejection) LogUnavailableError when the log does not answer.
   */
  async read<T>(ask: () => Promise<T>): Promise<T> {
    try {
      const read = await this.timeLimits.within(ask(), ANSWER_WITHIN_MS);
      if (read === LATE) throw new Error(`it has not answered for ${ANSWER_WITHIN_MS} ms`);
      return read;
    } catch (error) {
      const problem = messageOf(error);
      throw new LogUnavailableError(problem);
    }
  }

  /**
   * @param before the number of an entry; only earlier entries are listed.
   * @returns at most so many entries, the latest first.
   */
  list(limit: number, before = Infinity): readonly AuditEntry[] {
    return this.entries
      .filter(({ number }) => number < before)
      .toSorted((a, b) => b.number - a.number)
      .slice(0, limit);
  }
}
