/**
 * A commit decision, as it is handed to the log: what it takes to deliver it again after a restart.
 *
 * @publicApi
 */
export interface CommitDecision {
  readonly id: string;
  readonly name: string;
  readonly branches: readonly {
    readonly branchId: string;
    readonly participant: { readonly name: string };
    readonly payload: unknown;
  }[];
}

/**
 * Where commit decisions are kept. A record means commit for ever; no record means abort, so nothing else is ever
 * written for a decision (presumed abort: Mohan, Lindsay and Obermarck, "Transaction Management in the R*
 * Distributed Database Management System", 1986).
 *
 * @publicApi
 */
export interface DecisionLog {
  /**
   * Makes a commit decision durable.
   *
   * @returns nothing when it is durable at once, else a promise that resolves when it is. A rejection means that
   * nobody knows whether it is, or will be.
   */
  append(decision: CommitDecision): void | Promise<void>;

  /**
   * Finds out what became of an append that was rejected, or that has not been answered for long. `absent` is an
   * answer only when the record is not there and can no longer get there.
   *
   * It may be asked again while an earlier question is unanswered.
   *
   * @returns a promise that rejects when that cannot be found out now.
   */
  lookUp(transactionId: string): Promise<'recorded' | 'absent'>;
}
