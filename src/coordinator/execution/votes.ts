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
import type { BranchRecord, Refusal } from './branch-record.js';
import type { Clock } from './clock.js';
import type { Deliveries } from './deliveries.js';
import { describeAnswer } from './incident.js';
import type { TransactionObserver } from './observer.js';
import { failureOf, refusalIn } from './refusals.js';
import type { TransactionRecord } from './transaction-record.js';

const LATE_ANSWERS = ['voted commit', 'voted read-only', 'refused', 'failed'] as const;

/** Phase one. Reads the answers to prepare: only the documented values are a yes, and only in time. */
export class Votes {
  constructor(
    private readonly clock: Clock,
    private readonly deliveries: Deliveries,
    private readonly observer: TransactionObserver,
    private readonly effects: ProtocolEffects<TransactionRecord>,
  ) {}

  /** Prepare was answered. */
  answered(branch: BranchRecord, value: unknown): void {
    if (value === 'commit') this.count(branch, VOTE_COMMIT);
    else if (value === 'read-only') this.count(branch, VOTE_READ_ONLY);
    else {
      const refusal = refusalIn(value);
      if (refusal !== undefined) this.noYes(branch, VOTE_ABORT, refusal);
      else this.failed(branch, new Error(`answered prepare with ${describeAnswer(value)}, which is no vote`));
    }
  }

  /** Prepare threw, which proves nothing about what it did. */
  failed(branch: BranchRecord, error: unknown): void {
    this.noYes(branch, VOTE_NONE, failureOf(error));
  }

  private count(branch: BranchRecord, answer: VoteNumber): void {
    const { transaction, participant } = branch;
    branch.votedUs = transaction.elapsedUs(this.clock.now());
    if (transaction.state !== PREPARING) this.observeLateAnswer(branch, answer);
    else if (answer === VOTE_COMMIT) participant.counts.commitVotes++;
    else if (answer === VOTE_READ_ONLY) participant.counts.readOnlyVotes++;
    vote(transaction, branch.index, answer, this.effects);
  }

  /** A refusal, a throw or garbage: while the voting goes on, the cause of an abort. */
  private noYes(branch: BranchRecord, answer: typeof VOTE_ABORT | typeof VOTE_NONE, refusal: Refusal): void {
    const { transaction, participant, index } = branch;
    if (transaction.state === PREPARING) {
      branch.refusal = refusal;
      const cause = answer === VOTE_NONE ? 'failed' : 'refused';
      if (cause === 'failed') participant.counts.failures++;
      else participant.counts.refusals++;
      const type = cause === 'failed' ? 'prepare-failed' : 'refused';
      const atUs = transaction.elapsedUs(this.clock.now());
      transaction.note({ atUs, type, branch: index, attempt: 0, message: refusal.reason });
      this.observer.prepareFailed(branch, cause, refusal.reason);
    }
    this.count(branch, answer);
  }

  private observeLateAnswer(branch: BranchRecord, answer: VoteNumber): void {
    const { transaction, index } = branch;
    branch.participant.counts.lateAnswers++;
    const atUs = transaction.elapsedUs(this.clock.now());
    transaction.note({
      atUs,
      type: 'late-answer',
      branch: index,
      attempt: 0,
      message: LATE_ANSWERS[answer],
    });
    this.observer.lateAnswer(branch);
    const holdsNothing = answer === VOTE_ABORT || answer === VOTE_READ_ONLY;
    if (holdsNothing && includes(transaction.open, index)) this.deliveries.closing(branch);
    // Its rollback starts afresh, so it is no longer among those that have stalled.
    else if (includes(transaction.stalled, index)) branch.participant.counts.stalled--;
  }
}
