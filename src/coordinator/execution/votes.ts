import { type Answer, Refused } from '../gate/answer.js';
import { type Failure, failureOf } from '../gate/failure.js';
import {
  PREPARING,
  type ProtocolEffects,
  VOTE_ABORT,
  VOTE_COMMIT,
  VOTE_NONE,
  VOTE_READ_ONLY,
  type VoteNumber,
  includes,
  vote,
} from '../protocol/index.js';
import { type BranchRecord, type Refusal, preparedSibling } from './branch-record.js';
import type { Clock } from './clock.js';
import type { Contention } from './contention.js';
import type { Deliveries } from './deliveries.js';
import type { PrepareProblem } from './observer.js';
import type { Observers } from './observers.js';
import type { TransactionRecord } from './transaction-record.js';

/** Phase one. Reads the answers to prepare: only the documented values are a yes, and only in time. */
export class Votes {
  constructor(
    private readonly clock: Clock,
    private readonly deliveries: Deliveries,
    private readonly observers: Observers,
    private readonly effects: ProtocolEffects<TransactionRecord>,
    private readonly contention: Contention,
  ) {}

  /** Prepare was answered. */
  answered(branch: BranchRecord, value: Answer): void {
    if (value === 'commit') this.count(branch, VOTE_COMMIT);
    else if (value === 'read-only') this.count(branch, VOTE_READ_ONLY);
    else if (value instanceof Refused) {
      const { code, reason, conflict, overloaded } = value;
      if (overloaded) branch.participant.server?.lower(this.clock.now());
      const refusal = { code, reason, error: undefined, conflict };
      this.noYes(branch, VOTE_ABORT, withSibling(branch, refusal), false);
    } else {
      const error = new Error(`answered prepare with ${value.description}, which is no vote`);
      this.failed(branch, failureOf(error));
    }
  }

  /** Prepare threw, which proves nothing about what it did. */
  failed(branch: BranchRecord, { message, thrown, isCancellation }: Failure): void {
    const refusal = { code: undefined, reason: message, error: thrown };
    this.noYes(branch, VOTE_NONE, refusal, isCancellation);
  }

  private count(branch: BranchRecord, answer: VoteNumber, problem?: PrepareProblem): void {
    const { transaction } = branch;
    branch.votedUs = transaction.elapsedUs(this.clock.now());
    if (transaction.state !== PREPARING) this.lateAnswer(branch, answer, problem);
    else if (answer === VOTE_COMMIT || answer === VOTE_READ_ONLY) this.observers.voted(branch, answer);
    vote(transaction, branch.index, answer, this.effects);
  }

  /**
   * A refusal, a throw or garbage: while the voting goes on, the cause of an abort. Afterwards it changes nothing, and is
   * shown all the same: what is wrong with a participant does not depend on which of several was the first to fail.
   */
  private noYes(
    branch: BranchRecord,
    answer: typeof VOTE_ABORT | typeof VOTE_NONE,
    refusal: Refusal,
    isCancellation: boolean,
  ): void {
    const { transaction, participant } = branch;
    const cause = answer === VOTE_NONE ? 'failed' : 'refused';
    if (refusal.conflict) this.contention.conflicted(participant);
    if (transaction.state === PREPARING) {
      branch.refusal = refusal;
      this.observers.prepareFailed(branch, cause, refusal.reason);
    }
    this.count(branch, answer, { cause, message: refusal.reason, code: refusal.code, isCancellation });
    // The caller has it by now. It may hold anything, and the record of the transaction is kept for a while.
    refusal.error = undefined;
  }

  private lateAnswer(branch: BranchRecord, answer: VoteNumber, problem?: PrepareProblem): void {
    const { transaction, index } = branch;
    // What the abort is put down to stays as the caller was told.
    if (
      problem?.isCancellation === false &&
      branch.refusal === undefined &&
      index !== transaction.causeBranch
    ) {
      branch.refusal = { code: problem.code, reason: problem.message, error: undefined };
    }
    this.observers.lateAnswer(branch, answer, problem);
    const holdsNothing = answer === VOTE_ABORT || answer === VOTE_READ_ONLY;
    if (holdsNothing && includes(transaction.open, index)) this.deliveries.closing(branch);
  }
}

/** What a branch waits for in vain may be held by its own transaction, which no lock time-out can end. */
function withSibling(branch: BranchRecord, refusal: Refusal): Refusal {
  const sibling = refusal.conflict ? preparedSibling(branch) : undefined;
  if (sibling === undefined) return refusal;
  const reason =
    `${refusal.reason}; the branch "${sibling.branchId}" of the same transaction is prepared there and may hold what ` +
    'it waited for: let one branch do the work of both';
  return { ...refusal, reason };
}
