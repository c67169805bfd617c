/** A transaction, or one of its branches. @publicApi */
export interface GroupTarget {
  readonly transactionId: string;
  readonly branchId?: string;
}

/** The orders that were refused for one reason. @publicApi */
export interface GroupRefusal {
  /** As that of the single order. */
  readonly code: string;
  /** Of the first one. */
  readonly detail: string;
  readonly count: number;
  readonly targets: readonly GroupTarget[];
}

/** The results of the orders of one request. @publicApi */
export interface GroupResult {
  readonly done: number;
  readonly refused: readonly GroupRefusal[];
  /** The time was over, or no order could be recorded any more. */
  readonly notTried: readonly GroupTarget[];
}
