import type { CommitRecord, DecisionLog, HeuristicRecord } from '../log/decision-log.js';
import type { CoordinatorRun } from '../participant/participant.js';
import { type IdOrigin, idPrefixOf, originOf } from '../protocol/index.js';

/**
 * The records of a run that can write no more. They were read after the run was fenced, and so are complete.
 */
export interface FoundRecords {
  /** The run. The coordinator's own run stands for every earlier run of its log. */
  readonly run: CoordinatorRun;
  /** Every commit record without an end record. */
  readonly decisions: readonly CommitRecord[];
  /** Every heuristic report that was not forgotten. */
  readonly reports: readonly HeuristicRecord[];
  /** The log that holds the records, and receives their end records. @default the log of this coordinator */
  readonly log?: DecisionLog;
}

/** A run whose records were taken up. */
export interface RestoredRun {
  /** The run. */
  readonly run: IdOrigin;
  /** Whether its log is durable. */
  readonly durable: boolean;
  /** From 1, in the order in which they were taken up. */
  readonly number: number;
}

/**
 * The runs whose records this coordinator has taken up: all their decisions are known, so no record means
 * abort.
 */
export class RestoredRuns {
  /** By what the ids of their transactions begin with. */
  private readonly runs = new Map<string, RestoredRun>();
  private restorations = 0;
  private taken = 0;

  /** Whether records are being loaded. */
  get isRestoring(): boolean {
    return this.restorations > 0;
  }

  begin(): void {
    this.restorations++;
  }

  end(): void {
    this.restorations--;
  }

  /**
   * How many runs were taken up. A list that was asked for since then is younger than the records of each of
   * them.
   */
  get count(): number {
    return this.taken;
  }

  /** All records of a run are loaded. */
  add(run: CoordinatorRun): void {
    const prefix = idPrefixOf(run);
    const before = this.runs.get(prefix);
    const { name, logId, epoch, durable } = run;
    this.runs.set(prefix, { run: { name, logId, epoch }, durable, number: before?.number ?? ++this.taken });
  }

  /**
   * Forgets runs without open transactions: the log knows their outcomes.
   *
   * @returns the beginnings of the ids of their transactions.
   */
  forget(isOver: (run: IdOrigin) => boolean): string[] {
    const forgotten = [...this.runs].filter(([, { run }]) => isOver(run)).map(([prefix]) => prefix);
    for (const prefix of forgotten) this.runs.delete(prefix);
    return forgotten;
  }

  /** @returns the run to which a transaction belongs; undefined when its records were not restored. */
  of(transactionId: string): RestoredRun | undefined {
    if (this.runs.size === 0) return undefined;
    const origin = originOf(transactionId);
    return origin && this.runs.get(idPrefixOf(origin));
  }
}
