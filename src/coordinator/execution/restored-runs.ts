import type { CommitRecord, DecisionLog, HeuristicRecord } from '../log/decision-log.js';
import type { CoordinatorRun } from '../participant/participant.js';
import { idPrefixOf, originOf } from '../protocol/index.js';

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

/**
 * The runs whose records this coordinator has loaded: all their decisions are known, so no record means
 * abort.
 */
export class RestoredRuns {
  /** Whether their logs are durable, by the prefix of the ids of their transactions. */
  private readonly durable = new Map<string, boolean>();
  private restorations = 0;

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

  /** All records of a run are loaded. */
  add(run: CoordinatorRun): void {
    this.durable.set(idPrefixOf(run), run.durable);
  }

  /** @returns what is known of the run of a transaction; undefined when its records were not loaded. */
  of(transactionId: string): { readonly durable: boolean } | undefined {
    if (this.durable.size === 0) return undefined;
    const origin = originOf(transactionId);
    const durable = origin && this.durable.get(idPrefixOf(origin));
    return durable === undefined ? undefined : { durable };
  }
}
