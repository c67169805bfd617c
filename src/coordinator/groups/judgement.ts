import { type ReadVote, isProblem } from './member-votes.js';

/** What is judged of a member after one run. */
export interface Judged {
  /** Whether nothing is decided of it. */
  readonly isActive: boolean;
}

/** A refusal that depends on no member but those before it. */
export interface FirstRefusal<M> {
  readonly member: M;
  readonly votes: readonly ReadVote[];
  /** The members before it, whose work it may have seen. It is final once all of them have committed. */
  readonly predecessors: readonly M[];
}

/** The result of one run of the work of a group. */
export interface Judgement<M> {
  /** The members that can be part of the group, in their order. */
  readonly kept: readonly M[];
  readonly first: FirstRefusal<M> | undefined;
  /** Refused, perhaps only because of another member that will not commit. */
  readonly later: readonly M[];
  /** Cannot be part of any group. */
  readonly alone: readonly M[];
  /** Was ended by its caller, its deadline or an operator. */
  readonly gone: readonly M[];
  /** Whether the work of each member that is kept was done everywhere. */
  readonly isComplete: boolean;
}

/**
 * Judges one run. Within it the members ran one after the other, so a member may have seen the work of those before it, and
 * nothing of those after it. Only the first that cannot stay has seen nothing but the work of members that stay.
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
  let first: FirstRefusal<M> | undefined;
  /** Whether each member so far stays in the group, and its work was done everywhere. */
  let isUnbroken = true;
  let isComplete = true;
  for (const [index, member] of members.entries()) {
    const votes = votesOf(member, index);
    const isDone = votes.every((vote) => vote === 'commit' || vote === 'read-only');
    if (!member.isActive) gone.push(member);
    else if (votes.includes('alone')) alone.push(member);
    else if (!votes.some(isProblem)) {
      kept.push(member);
      isComplete &&= isDone;
    } else if (isUnbroken) first = { member, votes, predecessors: members.slice(0, index) };
    else later.push(member);
    isUnbroken &&= member.isActive && isDone;
  }
  return { kept, first, later, alone, gone, isComplete };
}
