import type { GroupPlace } from '../execution/group-fields.js';
import type {
  BranchHeuristic,
  BranchRecord,
  TransactionExecutor,
  TransactionRecord,
} from '../execution/records.js';
import type { InContext } from '../gate/present-context.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import {
  Decider,
  State,
  type Told,
  Voted,
  acknowledged,
  completionRound,
  heuristicReported,
  includes,
  isAbort,
  isCommit,
  recordAbsent,
  recorded,
  reopenEnded,
  requestCommit,
  vote,
} from '../protocol/index.js';
import { ForwardingExecutor } from './forwarding-executor.js';
import { type Problem, type ReadVote, isProblem } from './member-votes.js';

/** The place of a member that has ended. */
const ENDED: GroupPlace = Object.freeze({ isRunAgain: false });

/** The parts of the coordinator that the members of a group use. */
export interface MemberParts {
  readonly executor: TransactionExecutor;
  /** A member was refused, or has failed. */
  readonly prepareFailed: (branch: BranchRecord, cause: 'refused' | 'failed', message: string) => void;
  /** A member is left alone with its part of a decision, for an unknown time. */
  readonly setAside: (transaction: TransactionRecord) => void;
}

/**
 * A transaction that waits for a group, or is a member of one. The protocol core drives it as any other; its
 * effects are carried out by the group. It is ACTIVE until the group is about to be prepared, READY until the
 * group is decided, and then follows the group. So its deadline and its caller can end it up to the first
 * prepare of the group, and not after it.
 */
export class Member extends ForwardingExecutor implements GroupPlace {
  /** Whether its work may be in what a participant has open. */
  hasOpenWork = false;
  /** Whether it was refused behind another member and has waited for a second group. */
  wasPutBack = false;
  /** Whether a group of another coordinator was at work where its group was to begin. */
  wasBusy = false;
  isRunAgain = false;

  /**
   * @param inContext runs something in the asynchronous context of the caller.
   * @param bytes of its payloads.
   * @param left called when it was aborted while it waited or while its group worked.
   */
  constructor(
    readonly transaction: TransactionRecord,
    readonly participants: readonly RegisteredParticipant[],
    readonly bytes: number,
    readonly inContext: InContext,
    private readonly parts: MemberParts,
    private readonly left: (member: Member) => void,
  ) {
    super(parts.executor);
  }

  /** Whether nothing is decided of it, so that its work may run. */
  get isActive(): boolean {
    return this.transaction.state === State.ACTIVE;
  }

  /** Its group is about to be prepared: from now on the outcome is that of the group. */
  cast(votes: readonly ReadVote[]): void {
    const { transaction } = this;
    // Also what has changed nothing is committed only when its group is.
    transaction.recordsAll = true;
    requestCommit(transaction, Decider.LOG, this);
    for (const [index, answer] of votes.entries()) {
      vote(transaction, index, answer === 'read-only' ? Voted.READ_ONLY : Voted.COMMIT, this);
    }
  }

  /** It was refused or has failed, and nothing can change that any more. Nothing of its work is left. */
  refuse(votes: readonly ReadVote[]): void {
    const { transaction } = this;
    requestCommit(transaction, Decider.LOG, this);
    const problems: BranchRecord[] = [];
    for (const branch of transaction.branches) {
      const answer = votes[branch.index]!;
      if (isProblem(answer)) problems.push(branch);
      else vote(transaction, branch.index, answer === 'commit' ? Voted.COMMIT : Voted.READ_ONLY, this);
    }
    // The first one decides. Of the others only the answer is left.
    for (const branch of problems) this.voteAgainst(branch, votes[branch.index] as Problem);
  }

  private voteAgainst(
    branch: BranchRecord,
    { cause, message, code, error, conflict, temporary }: Problem,
  ): void {
    const { transaction } = this;
    const isFirst = !isAbort(transaction.state);
    branch.refusal = { code, reason: message, error, conflict, temporary };
    if (isFirst) this.parts.prepareFailed(branch, cause, message);
    vote(transaction, branch.index, isFirst && cause === 'failed' ? Voted.NONE : Voted.ABORT, this);
    branch.refusal = { code, reason: message, error: undefined, conflict, temporary };
  }

  /** The group is committed, and the decision is durable. */
  committed(): void {
    recorded(this.transaction, this);
  }

  /**
   * The group is aborted, and nothing says that this is because of this member.
   *
   * @param isRunAgain whether the caller's request may run again, on its own.
   */
  groupAborted(reason: string, isRunAgain: boolean): void {
    const { transaction } = this;
    this.isRunAgain = isRunAgain;
    if (!isCommit(transaction.state) && !isAbort(transaction.state))
      transaction.needExtras().abortReason = reason;
    recordAbsent(transaction, this);
  }

  /**
   * The branches of the group have ended, or its work was undone.
   *
   * @param reports how the branches of the group ended against its decision, by participant.
   */
  over(reports?: ReadonlyMap<RegisteredParticipant, BranchHeuristic>): void {
    this.hasOpenWork = false;
    const { transaction } = this;
    if (!isAbort(transaction.state) && !isCommit(transaction.state)) return;
    for (const branch of transaction.branches) {
      const { index, participant } = branch;
      if (!includes(transaction.open, index)) continue;
      const round = completionRound(transaction, index);
      const report = reports?.get(participant);
      if (report === undefined) acknowledged(transaction, index, round, this);
      else {
        branch.heuristic = report;
        heuristicReported(transaction, index, report.kind, round, this);
      }
    }
    if (transaction.endedAt === 0) return;
    // The record of the transaction is kept for a while, and nothing of its caller with it.
    transaction.executor = this.main;
    transaction.needGroup().place = ENDED;
  }

  /** A branch of the group waits for recovery or for an operator: nothing limits that time. */
  waits(): void {
    this.parts.setAside(this.transaction);
  }

  /** Its request may run again, in the context of its caller. */
  override tell(transaction: TransactionRecord, told: Told): void {
    this.inContext(() => super.tell(transaction, told));
  }

  /** It is no member any more, and runs as any other transaction does. */
  release(): void {
    const { transaction } = this;
    transaction.executor = this.main;
    transaction.needGroup().place = undefined;
  }

  /** Its caller, its deadline or an operator has ended it before its group was prepared. */
  override rollback(): void {
    this.left(this);
    if (!this.hasOpenWork) this.over();
  }

  // The group carries out everything that reaches a participant or the log.
  override prepare(): void {}
  override commitOnePhase(): void {}
  override record(): void {}
  override cancel(): void {}
  override commit(): void {}
}

/**
 * A member has ended, and a late answer to a prepare of its group has brought reports that it may not have
 * yet.
 *
 * @param setAside keeps it until its reports are forgotten.
 */
export function reportedLate(
  member: TransactionRecord,
  reports: ReadonlyMap<RegisteredParticipant, BranchHeuristic>,
  setAside: (transaction: TransactionRecord) => void,
): void {
  for (const branch of member.branches) {
    const { index, participant } = branch;
    const report = reports.get(participant);
    if (report === undefined || branch.heuristic !== undefined) continue;
    setAside(member);
    reopenEnded(member, index);
    branch.heuristic = report;
    heuristicReported(member, index, report.kind, completionRound(member, index), member.executor);
  }
}
