import { type BranchSet, Branches, firstBranches } from './branch-set.js';
import { State, type StateNumber } from './states.js';

/** A branch's answer to prepare, as the core receives it. */
export const enum Voted {
  COMMIT,
  READ_ONLY,
  /** A proven refusal: the participant refused and holds nothing. */
  ABORT,
  /** No vote (an error or an invalid answer): the branch may still be prepared. */
  NONE,
}

/** Why a transaction was aborted, in the order in which the causes are numbered. */
export const ABORT_CAUSES = [
  'none',
  /** A participant voted abort. */
  'refused',
  /** A participant threw an error, or gave an answer that is not a vote. */
  'failed',
  /** The deadline of the transaction or of one prepare passed. */
  'timed-out',
  /** The caller's own signal was aborted. */
  'cancelled',
  /** The caller asked for rollback. */
  'rolled-back',
  /** The caller asked for commit of a transaction marked rollback-only. */
  'rollback-only',
  /** The decision could not be recorded, and the record is proven absent. */
  'not-recorded',
  /** An earlier run of the coordinator ended without a decision: no record means abort. */
  'presumed',
  /** The vote of a participant had expired before the decision was made. */
  'expired',
] as const satisfies readonly ('none' | AbortCause)[];

/**
 * Why a transaction was aborted: the first event that ruled commit out.
 *
 * @publicApi
 */
export type AbortCause =
  | 'refused'
  | 'failed'
  | 'timed-out'
  | 'cancelled'
  | 'rolled-back'
  | 'rollback-only'
  | 'not-recorded'
  | 'presumed'
  | 'expired';
export type AbortCauseNumber = number;

/** The causes by their numbers. */
export const enum Cause {
  NONE,
  REFUSED,
  FAILED,
  TIMED_OUT,
  CANCELLED,
  ROLLED_BACK,
  ROLLBACK_ONLY,
  NOT_RECORDED,
  PRESUMED,
  EXPIRED,
}

/** The outcome that the caller was told. */
export const enum Told {
  NOTHING,
  COMMITTED,
  ABORTED,
  PENDING,
  HEURISTIC,
}

/** What makes the decision, where it is no branch. */
export const enum Decider {
  /** The log makes the decision: commit is decided when its record is durable. */
  LOG = -1,
}

/** What caused the abort, where it is no branch. */
export const enum CauseBranch {
  /** No participant caused the abort. */
  NONE = -1,
}

/**
 * The whole state of one transaction in the protocol: a tuple of small numbers. Two transactions with equal
 * fields behave alike, so a search may copy, compare and enumerate them. An executor adds
 * what it needs to reach the participants.
 */
export class ProtocolTransaction {
  state: StateNumber = State.ACTIVE;
  /** The number of enlisted branches. */
  size = 0;
  /** Branches whose prepare (or one-phase commit) was sent and has not been answered. */
  awaiting: BranchSet = Branches.NONE;
  /** Branches that voted commit. */
  yes: BranchSet = Branches.NONE;
  /** Branches that voted read-only: never contacted again. */
  readOnly: BranchSet = Branches.NONE;
  /** Branches with a proven refusal. */
  refused: BranchSet = Branches.NONE;
  /** Branches that answered prepare only after the abort was decided. */
  late: BranchSet = Branches.NONE;
  /** Branches that still owe an acknowledgement of the decision. */
  open: BranchSet = Branches.NONE;
  /** Open branches that have used up their attempts. */
  stalled: BranchSet = Branches.NONE;
  /** Branches that ended against the decision. */
  against: BranchSet = Branches.NONE;
  /** Branches that ended partly one way and partly the other. */
  mixed: BranchSet = Branches.NONE;
  /** Branches that cannot say how they ended. */
  hazard: BranchSet = Branches.NONE;
  /** The caller ruled commit out, so commit can no longer be decided. */
  rollbackOnly = false;
  /**
   * Every commit is recorded before it takes effect: also one that a branch decides, and one that changes
   * nothing. Otherwise only a commit that the log decides is.
   */
  recordsAll = false;
  /**
   * What makes the decision: {@link Decider.LOG}, or the index of the branch that decides. That is the only
   * branch, in a one-phase commit, or a last resource, which cannot prepare and is asked after all others
   * have voted.
   */
  decider: number = Decider.LOG;
  cause: AbortCauseNumber = Cause.NONE;
  /** The branch that caused the abort, or {@link CauseBranch.NONE}. */
  causeBranch: number = CauseBranch.NONE;
  told: Told = Told.NOTHING;
}

/** @returns whether the answer of a branch makes the decision, and not the log. */
export function isDecidedByBranch({ decider }: ProtocolTransaction): boolean {
  return decider !== Decider.LOG;
}

/** @returns whether one branch decides, and there are others, which vote before it is asked. */
export function hasLastResource({ decider, size }: ProtocolTransaction): boolean {
  return decider !== Decider.LOG && size > 1;
}

/** @returns all branches of the transaction. */
export function allBranches(transaction: ProtocolTransaction): BranchSet {
  return firstBranches(transaction.size);
}

/** Every field of the state, for a search to copy and compare. */
export const PROTOCOL_FIELDS = Object.keys(
  new ProtocolTransaction(),
) as readonly (keyof ProtocolTransaction)[];

/** Copies every field of the protocol from `source` to `target`. */
export function copyProtocolState(source: ProtocolTransaction, target: ProtocolTransaction): void {
  const to = target as unknown as Record<string, unknown>;
  for (const field of PROTOCOL_FIELDS) to[field] = source[field];
}

/** @returns a text that is equal for two transactions exactly when every field of the protocol is. */
export function protocolKey(transaction: ProtocolTransaction): string {
  return PROTOCOL_FIELDS.map((field) => Number(transaction[field])).join(',');
}
