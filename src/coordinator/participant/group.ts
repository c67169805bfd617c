import type { Branch, TransactionParticipant, Vote } from './participant.js';

/**
 * The branches of several transactions at one participant, which are prepared as one. For the protocol a
 * group is a transaction of its own: `transactionId` is the id of the group, and its decision comes with the
 * same ids.
 *
 * @publicApi
 */
export type GroupBranch = Pick<Branch, 'transactionId' | 'branchId' | 'deadline' | 'signal' | 'run'> & {
  /** The number of this run of the work, from 1. */
  readonly attempt: number;
  /**
   * When the work should be done, in milliseconds since the epoch: the members have deadlines of their own. A
   * participant then stops the member at work, and answers `alone` for it.
   */
  readonly workDeadline?: number;
  /**
   * Whether to wait, up to a limit, while a group of another coordinator works here. Then the participants of
   * the group work in turn, in the order of their names, so that two such groups never wait for each other.
   * Otherwise the answer is `busy`.
   */
  readonly waits?: boolean;
};

/** The branch of one transaction within a group: a member. @publicApi */
export interface GroupMember<P = unknown> {
  /** The id of the member's own transaction. */
  readonly transactionId: string;
  readonly branchId: string;
  readonly payload: P;
  /** The id of the request that began its transaction, if its caller has given one. */
  readonly requestId?: string | undefined;
}

/** The work of this member failed with an error. Nothing of it is left. @publicApi */
export interface MemberFailure {
  readonly vote: 'failed';
  readonly error: unknown;
}

/**
 * The answer for one member of a group:
 * - `commit`: its work is done. `read-only`: its work is done and has changed nothing.
 * - `abort`, a refusal, or {@link MemberFailure}: it refuses or has failed, and nothing of its work is left.
 * - `not-run`: its work was not done, because a member before it was refused or has failed.
 * - `alone`: its work cannot be part of a group. The coordinator runs it on its own.
 *
 * @publicApi
 */
export type MemberVote = Vote | MemberFailure | 'not-run' | 'alone';

/**
 * A participant that may prepare the branches of several transactions as one. All transactions of
 * `TransactionManager.run` whose branches are at such participants take part, without any difference for
 * their callers.
 *
 * The members of a group run after each other, in the same order at each participant. A refusal may depend on
 * the work of another member, so the coordinator runs the work again without the members that were refused:
 * the work may run more than once, and may do nothing outside of what {@link discardGroup} undoes.
 *
 * @typeParam P the payload of its branches.
 * @publicApi
 */
export interface GroupingParticipant<P = unknown> extends TransactionParticipant<P> {
  /** It takes part in groups. */
  readonly grouped: boolean;

  /**
   * Whether a payload may be part of a group. It is asked for each transaction, before any work.
   *
   * @param branch as {@link prepare} would receive it, with a signal that is never aborted.
   * @default every payload may
   */
  mayJoinGroup?(payload: P, branch: Branch<P>): boolean;

  /**
   * Does the work of all members, in this order, in one open unit of work, and votes for each member. Nothing
   * is prepared yet. `prepare` is called next, with the ids of the group and the payload null, and prepares
   * what this has left open. Or {@link discardGroup} undoes it first, and the work runs again with fewer
   * members. Or `rollback` ends the group, also while this is still running.
   *
   * The time limit is that of prepare.
   *
   * @returns one vote for each member, in their order; or `busy` if a group of another coordinator is at work
   * here, and none of the work was done: the group begins again, and waits. An error that does not belong to
   * one member rejects: then every member runs on its own.
   */
  runGroup(
    group: GroupBranch,
    members: readonly GroupMember<P>[],
  ): readonly MemberVote[] | 'busy' | PromiseLike<readonly MemberVote[] | 'busy'>;

  /**
   * Instead of {@link discardGroup} and another {@link runGroup}: leaves exactly the work of these members
   * open, in this order. Work of the latest run may stay where it is, if the same members were before it.
   * After that it tries members that were refused behind another one, whose work they may have seen: it does
   * the work of each behind that of all members, and undoes it before the next. So nothing of it stays, but
   * its vote is known.
   *
   * @param trials is empty unless all participants of the group have this method.
   * @returns one vote for each member, and then one for each of the trials. An error rejects, as in {@link
   * runGroup}.
   * @default the work is discarded, and runs again
   */
  rerunGroup?(
    group: GroupBranch,
    members: readonly GroupMember<P>[],
    trials: readonly GroupMember<P>[],
  ): readonly MemberVote[] | PromiseLike<readonly MemberVote[]>;

  /**
   * Undoes everything that the latest run of a group has left open. After an error the group is rolled back
   * instead.
   */
  discardGroup(group: GroupBranch): void | PromiseLike<void>;
}
