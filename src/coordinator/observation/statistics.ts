/** Counts since the start. @publicApi */
export interface TransactionStatistics {
  readonly committed: number;
  readonly aborted: number;
  /** Callers that were told `pending`. */
  readonly pending: number;
  readonly heuristicReports: number;
  readonly retries: number;
  readonly lateAnswers: number;
  readonly timeouts: number;
  readonly refusals: number;
  /** Branches that earlier runs prepared and left without a decision, and that were rolled back. */
  readonly orphans: number;
  /** Defects of the coordinator: please report them. */
  readonly defects: number;
}

/** The counts of a running coordinator. */
export type RunningStatistics = { -readonly [K in keyof TransactionStatistics]: number };

export function newStatistics(): RunningStatistics {
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
