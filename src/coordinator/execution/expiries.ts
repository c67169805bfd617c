import { State, includes, voteExpired } from '../protocol/index.js';
import { type Clock, NEVER } from './clock.js';
import type { Observers } from './observer.js';
import { type BranchRecord, type TransactionRecord, calledToPrepareAt } from './records.js';
import { VoteExpiry } from './said.js';

/** The code of an abort because a vote has expired. */
const VOTE_EXPIRED = 'VOTE_EXPIRED';

interface ExpiryParts {
  readonly clock: Clock;
  /** Sets a deadline of a transaction. */
  readonly arm: (transaction: TransactionRecord, dueAt: number) => void;
  readonly observers: Observers;
  /** How long before a vote expires no decision is sent to the log any more, in milliseconds. */
  readonly marginMs: number;
  /** How long before a vote expires that is reported, in milliseconds. */
  readonly warningMs: number;
}

/**
 * The votes that hold for a limited time. Until the decision is sent to the log, a vote that expires aborts
 * its transaction. A decision that was sent stands: its completion is then a race against the clock, which is
 * reported before it is lost.
 */
export class VoteExpiries {
  constructor(private readonly parts: ExpiryParts) {}

  /** A branch has voted for commit, for this time from the call of prepare. */
  voted(branch: BranchRecord, validForMs: number): void {
    this.keep(branch, calledToPrepareAt(branch) + validForMs, validForMs);
  }

  /** A branch of an earlier run has voted for commit. @param expiresAt in milliseconds since the epoch. */
  restored(branch: BranchRecord, expiresAt: number): void {
    this.keep(branch, expiresAt - this.parts.clock.epochMs, NEVER);
  }

  /**
   * Aborts the transaction if the vote of this branch has expired.
   *
   * @returns whether it did.
   */
  abortIfOver(branch: BranchRecord, now: number): boolean {
    const { transaction, expiry, participant } = branch;
    const { marginMs, observers } = this.parts;
    if (expiry === undefined || expiry.expiresAt - marginMs > now) return false;
    const reason =
      `the vote of ${participant.name} expired before the decision: it was valid until ` +
      `${Math.round(expiry.expiresAt - transaction.startedAt)} ms after the start, and no decision is made in the last ${marginMs} ms`;
    branch.refusal = { code: VOTE_EXPIRED, reason, error: undefined, temporary: true };
    observers.voteExpired(branch, 'before-decision', reason);
    voteExpired(transaction, branch.index, transaction.executor);
    return true;
  }

  /**
   * Aborts a transaction of which a vote has expired, and reports votes that are about to expire, or have.
   */
  examine(transaction: TransactionRecord, now: number): void {
    if (transaction.extras?.hasExpiries !== true) return;
    for (const branch of transaction.branches) {
      const { expiry } = branch;
      if (expiry === undefined || !isAwaited(branch)) continue;
      if (transaction.state === State.PREPARING && this.abortIfOver(branch, now)) return;
      this.report(branch, expiry, now);
    }
  }

  /** @returns when the next step is due. */
  dueAt(transaction: TransactionRecord): number {
    if (transaction.extras?.hasExpiries !== true) return NEVER;
    let dueAt = NEVER;
    for (const branch of transaction.branches) {
      const { expiry } = branch;
      if (expiry === undefined || !isAwaited(branch)) continue;
      if (transaction.state === State.PREPARING)
        dueAt = Math.min(dueAt, expiry.expiresAt - this.parts.marginMs);
      if (!expiry.isAnnounced) dueAt = Math.min(dueAt, expiry.announceAt);
      else if (!expiry.isMissed) dueAt = Math.min(dueAt, expiry.expiresAt);
    }
    return dueAt;
  }

  private keep(branch: BranchRecord, expiresAt: number, validForMs: number): void {
    const { arm, marginMs, warningMs } = this.parts;
    const { transaction } = branch;
    // A vote for a short time is not about to expire from its first moment on.
    const announceAt = expiresAt - Math.min(warningMs, validForMs / 2);
    branch.expiry = new VoteExpiry(expiresAt, announceAt);
    transaction.needExtras().hasExpiries = true;
    arm(transaction, Math.min(announceAt, expiresAt - marginMs));
  }

  private report(branch: BranchRecord, expiry: VoteExpiry, now: number): void {
    const { transaction } = branch;
    const isDecided = transaction.state === State.COMMITTING;
    const state = isDecided ? 'commit is decided and not delivered yet' : 'the decision is not known yet';
    if (!expiry.isAnnounced && expiry.announceAt <= now) {
      expiry.isAnnounced = true;
      const leftMs = Math.max(0, Math.round(expiry.expiresAt - now));
      this.parts.observers.voteExpiring(branch, leftMs, `its vote expires in ${leftMs} ms, and ${state}`);
    }
    if (expiry.isMissed || expiry.expiresAt > now) return;
    expiry.isMissed = true;
    this.parts.observers.voteExpired(branch, 'after-decision', `its vote has expired, and ${state}`);
  }
}

/** Whether a branch may still have to commit, so that it matters when its vote expires. */
export function isAwaited({ transaction, index }: BranchRecord): boolean {
  const { state, yes, open } = transaction;
  if (state === State.COMMITTING) return includes(open, index);
  return (state === State.PREPARING || state === State.READY) && includes(yes, index);
}

/**
 * @returns the branches in the order of their completion: those whose votes expire come first, the earliest
 * before the others.
 */
export function byExpiry(transaction: TransactionRecord): BranchRecord[] {
  const { branches } = transaction;
  if (transaction.extras?.hasExpiries !== true) return branches;
  return branches.toSorted(inOrderOfExpiry);
}

/**
 * Sorts branches of several transactions as {@link byExpiry}. Those whose votes do not expire keep their
 * order.
 */
export function sortByExpiry(branches: BranchRecord[]): void {
  if (branches.some(({ expiry }) => expiry !== undefined)) branches.sort(inOrderOfExpiry);
}

function inOrderOfExpiry(one: BranchRecord, other: BranchRecord): number {
  return expiryOf(one) - expiryOf(other);
}

function expiryOf({ expiry }: BranchRecord): number {
  return expiry?.expiresAt ?? Number.MAX_VALUE;
}
