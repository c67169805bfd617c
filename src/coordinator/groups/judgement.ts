import { type ReadVote, isProblem } from './member-votes.js';

/** The judgement of a member after one run. */
export interface Judged {
  /** Whether nothing is decided of it. */
  readonly isActive: boolean;
}

/** A refusal of a member that has seen the work of no other one. */
export interface Refusal<M> {
  readonly member: M;
  readonly votes: readonly ReadVote[];
}

/** The result of one run of the work of a group. */
export interface Judgement<M> {
  /** The members that can be part of the group, in their order. */
  readonly kept: readonly M[];
  /** The first member of all, if it is refused. */
  readonly first: Refusal<M> | undefined;
  /**
   * Refused behind another member, whose work will not commit, or runs again and may have another effect
   * then.
   */
  readonly later: readonly M[];
  /** Cannot be part of any group. */
  readonly alone: readonly M[];
  /** Was ended by its caller, its deadline or an operator. */
  readonly gone: readonly M[];
  /** Whether the work of each member that is kept was done everywhere. */
  readonly isComplete: boolean;
}

/**
 * Judges one run. Within it the members ran one after the other, so a member may have seen the work of those
 * before it, and nothing of those after it. What it has seen is undone before the next run. An outside
 * transaction may change the same rows then, so that what it has seen is part of no serial order. So only the
 * refusal of the first member is final.
 *
 * @param votesOf the votes of the branches of a member, in the order of its branches.
 */
export function judge<M extends Judged>(
  members: readonly M[],
  votesOf: (member: M, index: number) => readonly ReadVote[],
): Judgement<M> {
  const kept: M[] = [];
  const later: M[] = [];
  const alone: M[] = [];
  const gone: M[] = [];
  let first: Refusal<M> | undefined;
  let isComplete = true;
  for (const [index, member] of members.entries()) {
    const votes = votesOf(member, index);
    if (!member.isActive) gone.push(member);
    else if (votes.includes('alone')) alone.push(member);
    else if (!votes.some(isProblem)) {
      kept.push(member);
      isComplete &&= votes.every((vote) => vote === 'commit' || vote === 'read-only');
    } else if (index === 0) first = { member, votes };
    else later.push(member);
  }
  return { kept, first, later, alone, gone, isComplete };
}
