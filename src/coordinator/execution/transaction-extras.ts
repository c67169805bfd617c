import type { CallerSignal } from '../gate/caller-signal.js';
import type { DecisionLog } from '../log/decision-log.js';
import type { Outcome } from '../outcome.js';
import type { Attributes } from '../participant/attributes.js';
import type { CallerNote } from '../participant/caller-note.js';
import { type BranchSet, Branches } from '../protocol/index.js';
import type { ServerLimit, Share } from './capacity/server-limit.js';
import type { GroupFields } from './group-fields.js';
import type { Incident } from './incident.js';
import type { TransactionTrace } from './trace.js';

/**
 * The order in which the participants of a transaction prepare one after the other.
 *
 * @typeParam B the branch.
 */
export interface Turns<B> {
  /** @returns the branch whose turn it is; undefined when each has had its turn. */
  next(): B | undefined;
  /** Marks the participant of this branch as asked. */
  asks(branch: B, now: number): void;
  /** @returns when its participant was asked, on the coordinator's clock; undefined before that. */
  askedAt(branch: B): number | undefined;
}

const MAX_INCIDENTS = 40;

/**
 * Fields that a transaction needs only if it has a handle or a signal, or if something goes wrong. Kept
 * apart, they cost other transactions one field.
 *
 * @typeParam T the transaction.
 * @typeParam B the branch.
 */
export class TransactionExtras<T, B> {
  /** The handle of the caller. */
  handle: unknown = undefined;
  /** The trace, while the transaction is traced. */
  trace: TransactionTrace | undefined = undefined;
  /** The caller's own signal, while it can still change anything. */
  callerSignal: CallerSignal | undefined = undefined;
  /** The signal of all prepares, once a participant has requested it. */
  prepareController: AbortController | undefined = undefined;
  /** Why it is aborted, if the cause is not a participant. */
  abortReason: string | undefined = undefined;
  rollbackOnlyReason: string | undefined = undefined;
  /** Whether the caller wants the participants to prepare one after the other. */
  inTurn = false;
  /**
   * The order in which the participants prepare one after the other: by request of the caller, after
   * conflicts, or because some are asked before the others.
   */
  turns: Turns<B> | undefined = undefined;
  /** The branches that are asked before the others, while these wait for their votes. */
  askedFirst: BranchSet = Branches.NONE;
  /** Whether it has begun, or waits, although it names a participant that is silent. */
  isTrial = false;
  /** Resolves the outcome of the handle; undefined once the caller is told. */
  settleHandle: ((outcome: Outcome) => void) | undefined = undefined;
  /** Whether the caller's request is run again after this attempt. */
  isRunAgain = false;
  /** Its use of database servers. */
  shares: Map<ServerLimit, Share> | undefined = undefined;
  /** Whether a vote of one of its branches expires. */
  hasExpiries = false;
  /** Whether one of its branches at these servers has been asked to prepare. */
  isAtWork = false;
  /** The keys of the business that its caller has given it. */
  attributes: Attributes | undefined = undefined;
  /** Where it comes from. Each field has its form. */
  caller: CallerNote | undefined = undefined;
  /** The key of the caller's request, if it has one. */
  requestKey: { readonly key: string; readonly fingerprint: string } | undefined = undefined;
  /** The number of earlier attempts at the caller's request. */
  attemptsBefore = 0;
  /** When the log is asked again for a record that it may have; 0 when it need not be. */
  inquiryAt = 0;
  inquiries = 0;
  /** When the branch that decides was asked, on the coordinator's clock; undefined if the voting started then. */
  askedToDecideAt: number | undefined = undefined;
  /** When the commit that a branch has decided was durable; undefined where the decision itself was. */
  confirmedAt: number | undefined = undefined;
  /** Branches whose completion is unconfirmed: they may still be prepared. */
  unconfirmed: BranchSet = Branches.NONE;
  /** Whether an operator has acted on it. */
  isTouched = false;
  /** Whether its reports are forgotten, and the log must be told once no completion is unconfirmed. */
  owesForget = false;
  /** The log that holds its record, if it is not the log of this coordinator. */
  log: DecisionLog | undefined = undefined;
  /** What concerns groups, if it is one, or may be a member of one. */
  group: GroupFields<T> | undefined = undefined;
  /** Irregular events, for the timeline. */
  readonly incidents: Incident[] = [];

  /** The caller has been told: its handle now holds the outcome and its error, so they are dropped here. */
  letGoOfHandle(): void {
    this.settleHandle = undefined;
    if (typeof this.handle === 'object' && this.handle !== null) this.handle = new WeakRef(this.handle);
  }

  /** The transaction has ended: releases what user code attached to its signals and handle. */
  letGo(): void {
    this.handle = undefined;
    this.prepareController = undefined;
  }

  /**
   * Keeps the first and the latest incidents, so that a branch that fails for days does not fill the memory.
   */
  note(incident: Incident): void {
    if (this.incidents.length >= MAX_INCIDENTS) this.incidents.splice(MAX_INCIDENTS / 2, 1);
    this.incidents.push(incident);
  }
}
