import type {
  Alarm,
  CoordinatorCondition,
  MemberView,
  MembersView,
  TransactionSummary,
  TransactionView,
} from '../../coordinator/index.js';

/** The member that owns a transaction: that has begun it, or has adopted it. @publicApi */
export interface OwnerView {
  readonly epoch: number;
  /** The name of the member for people; empty when it has none. */
  readonly member: string;
}

/** A transaction in a list, with its owner. @publicApi */
export interface OwnedSummary extends TransactionSummary {
  /** Null where the log is not shared. */
  readonly owner: OwnerView | null;
}

/** An alarm of one member or of several. @publicApi */
export interface OwnedAlarm extends Alarm {
  /** The names of the members that report it, for people. Empty where the log is not shared. */
  readonly members: readonly string[];
}

/** The alarms of all members. */
export interface AlarmsOfAll {
  /** The most urgent first. */
  readonly alarms: readonly OwnedAlarm[];
  readonly total: number;
}

/** The alarms at one moment. @publicApi */
export interface AttentionPage extends AlarmsOfAll {
  /** ISO 8601. */
  readonly at: string;
}

/** A transaction with its owner. @publicApi */
export interface OwnedTransaction extends TransactionView {
  /** Null where the log is not shared. */
  readonly owner: OwnerView | null;
}

/**
 * The outcome of a transaction whose owner does not keep it any more, or does not answer. `pending` says that it is not decided,
 * or that this is not known yet.
 *
 * @publicApi
 */
export interface OutcomeOnly {
  readonly transactionId: string;
  readonly outcome: 'committed' | 'aborted' | 'pending';
  readonly decision: 'commit' | 'abort' | null;
  /** Null where it has none any more, or it is not known. */
  readonly owner: OwnerView | null;
}

/** A member that has not answered, and whose transactions may be missing therefore. @publicApi */
export interface UnansweredMember extends OwnerView {
  /** Why, in words. */
  readonly problem: string;
}

/** One member as it is shown to people, with what it says of itself. @publicApi */
export interface MemberNow extends MemberView {
  /** Null when it was not asked or has not answered. */
  readonly condition: CoordinatorCondition | null;
  /** The version of this package in its process. Null as `condition` is. */
  readonly version: string | null;
  /** Why it has not answered; null when it has. */
  readonly problem: string | null;
}

/** The members at one moment. @publicApi */
export interface MembersNow extends MembersView {
  readonly members: readonly MemberNow[];
}

/** A transaction, or its summary, with its owner. */
export function owned<T extends TransactionSummary>(
  transaction: T,
  owner: OwnerView | null,
): T & { readonly owner: OwnerView | null } {
  return { ...transaction, owner };
}
