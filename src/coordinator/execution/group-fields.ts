import type { GroupedTransaction } from '../log/decision-log.js';

/** The group of a transaction, as its members see it. */
export interface GroupPlace {
  /**
   * Whether the group was aborted for a reason that says nothing about its members: each runs again, on its
   * own.
   */
  readonly isRunAgain: boolean;
}

/** How a transaction was grouped, as it is shown. */
export interface GroupNote {
  /** The id of the group. */
  readonly id: string;
  /** How many members the group has, or had in its latest run. */
  readonly size: number;
  /** How often the work of the group has run. */
  readonly runs: number;
}

/** Is called at each step towards the end of a transaction that occupies participants. */
export interface Occupation<T> {
  moved(transaction: T): void;
  /** The participant of a branch has not answered a call in its time. */
  timedOut(transaction: T, branch: number): void;
}

/**
 * What a transaction has to do with groups.
 *
 * @typeParam T the transaction.
 */
export class GroupFields<T> {
  /** Its place in a group, as long as it is a member. */
  place: GroupPlace | undefined = undefined;
  /** The members, if it is a group that is being prepared. */
  members: readonly GroupedTransaction[] | undefined = undefined;
  /** Whether it is a group: a transaction of the coordinator itself, without a caller. */
  isGroup = false;
  /** The group, for people. */
  note: GroupNote | undefined = undefined;
  /** Is called when its participants are free for the next group. */
  occupation: Occupation<T> | undefined = undefined;
}
