/** Counts since the start. @publicApi */
export interface TransactionStatistics {
  committed: number;
  aborted: number;
  /** Callers that were told `pending`. */
  pending: number;
  heuristicReports: number;
  retries: number;
  lateAnswers: number;
  timeouts: number;
  refusals: number;
  /** Branches that earlier runs prepared and left without a decision, and that were rolled back. */
  orphans: number;
  /** Defects of the coordinator: please report them. */
  defects: number;
}

export function newStatistics(): TransactionStatistics {
  return {
    committed: 0,
    aborted: 0,
    pending: 0,
    heuristicReports: 0,
    retries: 0,
    lateAnswers: 0,
    timeouts: 0,
    refusals: 0,
    orphans: 0,
    defects: 0,
  };
}
