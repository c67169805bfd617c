import type { CommitDecision, LogClaim } from '../../src/coordinator/index.js';
import { claimOf } from '../support/identity.js';
import { PartialLog } from '../support/partial-log.js';

/** The fault of a scripted log. */
export interface LogScript {
  /** @param write puts the record where it belongs. */
  readonly append?: (write: () => void) => void | Promise<void>;
  /** @param turn which inquiry this is, from 1. */
  readonly lookUp?: (isRecorded: boolean, turn: number) => Promise<'recorded' | 'absent' | 'fenced'>;
  readonly end?: () => Promise<void>;
  readonly check?: () => Promise<void>;
  /** The records that an earlier run has left. */
  readonly claim?: LogClaim;
}

/** A decision log whose failures a test chooses, and which tells what it really holds. */
export class ScriptedLog extends PartialLog {
  readonly records = new Set<string>();
  inquiries = 0;

  readonly ended: string[] = [];

  constructor(private readonly script: LogScript = {}) {
    super();
  }

  override open(): LogClaim {
    return this.script.claim ?? claimOf();
  }

  override end(transactionId: string): void | Promise<void> {
    this.ended.push(transactionId);
    return this.script.end?.();
  }

  override check(): Promise<void> {
    return this.script.check?.() ?? Promise.resolve();
  }

  append({ id }: CommitDecision): void | Promise<void> {
    const write = (): void => void this.records.add(id);
    if (this.script.append !== undefined) return this.script.append(write);
    return write();
  }

  lookUp(transactionId: string): Promise<'recorded' | 'absent' | 'fenced'> {
    const isRecorded = this.records.has(transactionId);
    this.inquiries++;
    if (this.script.lookUp !== undefined) return this.script.lookUp(isRecorded, this.inquiries);
    return Promise.resolve(isRecorded ? 'recorded' : 'absent');
  }
}
