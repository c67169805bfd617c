import type { AuditEntry, CommitRecord, HeuristicRecord } from '../coordinator/log/decision-log.js';
import { DamagedLogError } from '../coordinator/log/log-errors.js';
import type { Rows } from './messages.js';
import { readBody } from '../coordinator/log/record-body.js';
import { AUDITS, COMMITS, REPORTS, STARTS } from '../coordinator/log/record-shapes.js';

/** The records read when the log was opened. */
export class FoundRecords {
  readonly decisions: CommitRecord[] = [];
  readonly reports: HeuristicRecord[] = [];
  readonly audits: AuditEntry[] = [];
  /** The token of each start, by its epoch. */
  readonly starts = new Map<number, string>();
  /** The epoch of the last start, 0 when there was none. */
  lastEpoch = 0;
  /** The first error in the records; it is thrown after all were read. */
  damage: DamagedLogError | undefined;

  readonly add = ({ keys, lengths, bodies }: Rows): void => {
    let at = 0;
    for (const [index, key] of keys.entries()) {
      const body = bodies.subarray(at, (at += lengths[index]!));
      try {
        this.take(key, readBody(key, body));
      } catch (error) {
        this.damage ??= new DamagedLogError(key, `it cannot be read (${(error as Error).message})`);
      }
    }
  };

  private take(key: string, value: unknown): void {
    if (key.startsWith(COMMITS)) this.decisions.push(value as CommitRecord);
    else if (key.startsWith(REPORTS)) this.reports.push(value as HeuristicRecord);
    else if (key.startsWith(AUDITS)) this.audits.push(value as AuditEntry);
    else if (key.startsWith(STARTS)) {
      const epoch = Number(key.slice(STARTS.length));
      this.starts.set(epoch, (value as { token: string }).token);
      this.lastEpoch = Math.max(this.lastEpoch, epoch);
    }
  }
}
