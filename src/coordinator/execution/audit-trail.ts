import { LogUnavailableError } from '../log/log-errors.js';
import { AUDIT_KEPT, type AuditEntry } from '../log/decision-log.js';
import type { ClaimedLog } from './claimed-log.js';
import { messageOf } from './incident.js';

/** How long the log may take to keep an entry. */
const ANSWER_WITHIN_MS = 10_000;

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
   * @throws (as a rejection) LogUnavailableError when it cannot be written, or it is not known in time whether it is. Then
   * nothing is to be done; the entry may be found after the next start all the same.
   */
  async write(entry: Omit<AuditEntry, 'number'>): Promise<void> {
    const numbered = { number: ++this.lastNumber, ...entry };
    try {
      await withinLimit(this.log.storage.audit(numbered));
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

async function withinLimit(writing: void | Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    const late = new Error(`it has not answered for ${ANSWER_WITHIN_MS} ms`);
    timer = setTimeout(() => reject(late), ANSWER_WITHIN_MS);
  });
  try {
    await Promise.race([writing, limit]);
  } finally {
    clearTimeout(timer);
  }
}
