import type { CallerSignal } from '../gate/caller-signal.js';
import type { Outcome } from '../outcome.js';
import { type BranchSet, NO_BRANCHES } from '../protocol/index.js';
import type { Incident } from './incident.js';
import type { Rerun } from './reruns.js';
import type { ServerLimit } from './server-limit.js';
import type { Share } from './server-needs.js';
import type { TransactionTrace } from './tracing.js';
import type { Turns } from './turns.js';

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
  /** The caller's own signal, while it can still change anything. */
  callerSignal: CallerSignal | undefined = undefined;
  /** The signal of all prepares, once a participant has asked for it. */
  prepareController: AbortController | undefined = undefined;
  /** Why it is aborted, where the cause is not a participant. */
  abortReason: string | undefined = undefined;
  rollbackOnlyReason: string | undefined = undefined;
  /** Whether the caller wants the participants to prepare one after the other. */
  inTurn = false;
  /** The order in which they prepare, while they prepare one after the other: because the caller wants it, or after conflicts. */
  turns: Turns | undefined = undefined;
  /** Resolves the outcome of the handle; gone once it is told. */
  settleHandle: ((outcome: Outcome) => void) | undefined = undefined;
  /** The caller's request is run again once this attempt is over. */
  rerun: Rerun | undefined = undefined;
  /** What it takes of database servers. */
  shares: Map<ServerLimit, Share> | undefined = undefined;
  /** Whether one of its branches at these servers has been asked to prepare. */
  isAtWork = false;
  /** How many attempts at the caller's request came before this one. */
  attemptsBefore = 0;
  /** When the log is asked again for a record that may be there; 0 when it need not be. */
  inquiryAt = 0;
  inquiries = 0;
  /** Branches that are over by word alone. */
  unconfirmed: BranchSet = NO_BRANCHES;
  /** Whether its reports are forgotten, and the log is to be told when no branch is over by word alone. */
  owesForget = false;
  /** What went otherwise than it should, for the timeline. */
  readonly incidents: Incident[] = [];

  /** The caller has been told: its handle knows the outcome, and what was thrown with it, and is not kept for that. */
  letGoOfHandle(): void {
    this.settleHandle = undefined;
    if (typeof this.handle === 'object' && this.handle !== null) this.handle = new WeakRef(this.handle);
  }

  /** The transaction is over: what user code has hung on its signals and handle is let go of. */
  letGo(): void {
    this.handle = undefined;
    this.prepareController = undefined;
  }

  /** Keeps the first and the latest incidents, so that a branch that fails for days does not fill the memory. */
  note(incident: Incident): void {
    if (this.incidents.length >= MAX_INCIDENTS) this.incidents.splice(MAX_INCIDENTS / 2, 1);
    this.incidents.push(incident);
  }
}
