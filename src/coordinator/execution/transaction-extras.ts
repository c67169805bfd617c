import type { Incident } from './incident.js';
import type { TransactionTrace } from './tracing.js';

const MAX_INCIDENTS = 40;

/**
 * What a transaction needs only when it has a handle or a signal, or when something goes wrong. Kept apart, it costs
 * the others one field.
 */
export class TransactionExtras {
  /** The handle that callers hold. */
  handle: unknown = undefined;
  /** While somebody traces. */
  trace: TransactionTrace | undefined = undefined;
  /** The caller's own signal, while it can still change anything, and what listens to it. */
  callerSignal: AbortSignal | undefined = undefined;
  callerListener: (() => void) | undefined = undefined;
  /** The signal of all prepares, once a participant has asked for it. */
  prepareController: AbortController | undefined = undefined;
  /** Why it is aborted, where the cause is not a participant. */
  abortReason: string | undefined = undefined;
  rollbackOnlyReason: string | undefined = undefined;
  /** Whether the participants prepare one after the other, and since when the last that was asked has been at it. */
  inTurn = false;
  turnAt: number | undefined = undefined;
  /** When the log is asked again for a record that may be there; 0 when it need not be. */
  inquiryAt = 0;
  inquiries = 0;
  /** What went otherwise than it should, for the timeline. */
  readonly incidents: Incident[] = [];

  /** Keeps the first and the latest incidents, so that a branch that fails for days does not fill the memory. */
  note(incident: Incident): void {
    if (this.incidents.length >= MAX_INCIDENTS) this.incidents.splice(MAX_INCIDENTS / 2, 1);
    this.incidents.push(incident);
  }
}
