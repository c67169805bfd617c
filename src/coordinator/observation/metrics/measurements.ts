import { Moment } from '../../execution/clock.js';
import type { TransactionRecord } from '../../execution/records.js';
import { DURATION_BOUNDS_US, Histogram } from '../../histogram.js';
import type { Outcome } from '../../outcome.js';
import { ABORT_CAUSES, Cause, State, Told, isDecidedByBranch } from '../../protocol/index.js';
import { type ParticipantMeasurements, measurementsOf } from './participant-measurements.js';

/**
 * Measures the transactions in plain fields: each costs only a few additions, when it ends. Metrics read the
 * fields on request.
 */
export class Measurements {
  /** Callers by the outcome that they were told. */
  committed = 0;
  pending = 0;
  heuristic = 0;
  /** By the number of the cause, without those that were refused for now. */
  readonly aborted = new Float64Array(ABORT_CAUSES.length);
  /** A participant refused, and said that the same may succeed when it is tried again. */
  refusedForNow = 0;
  /** From the start to the last acknowledgement, in microseconds, by the decision. */
  readonly commitUs = new Histogram(DURATION_BOUNDS_US);
  readonly abortUs = new Histogram(DURATION_BOUNDS_US);
  recoveryPasses = 0;
  /** Groups that were committed, their members, and how often the work of groups has run again. */
  groups = 0;
  groupedTransactions = 0;
  groupReruns = 0;
  /** By the index of the branch: most transactions have the participants of the previous one. */
  private readonly recent: ParticipantMeasurements[] = [];

  /** A caller was told an outcome other than committed. */
  told(transaction: TransactionRecord, outcome: Outcome): void {
    // It is run again: its caller has not been told anything yet.
    if (transaction.extras?.isRunAgain) return;
    const { status } = outcome;
    if (status === 'aborted') {
      if (outcome.cause === 'refused' && outcome.temporary === true) this.refusedForNow++;
      else this.aborted[transaction.cause]!++;
    } else if (status === 'pending') this.pending++;
    else if (status === 'heuristic') this.heuristic++;
  }

  ended(transaction: TransactionRecord): void {
    if (transaction.told === Told.COMMITTED) this.committed++;
    // The start of a transaction of an earlier run is not known.
    if (isRestored(transaction)) return;
    const durations = transaction.state === State.COMMITTED ? this.commitUs : this.abortUs;
    durations.observe(transaction.endedUs);
    this.measureBranches(transaction);
  }

  groupEnded({ state, extras }: TransactionRecord): void {
    const { runs, size } = extras!.group!.note ?? { runs: 0, size: 0 };
    this.groupReruns += Math.max(0, runs - 1);
    if (state !== State.COMMITTED) return;
    this.groups++;
    this.groupedTransactions += size;
  }

  private measureBranches(transaction: TransactionRecord): void {
    const { recent } = this;
    // Whole numbers: accessors for moments would make an object for each.
    const preparingUs = Math.max(transaction.preparingUs, 0);
    const completingUs = isDecidedByBranch(transaction) ? preparingUs : Math.max(transaction.decidedUs, 0);
    const turns = transaction.extras?.turns;
    for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
      const { index, participant, votedUs, completedUs } = branch;
      let measured = recent[index];
      if (measured?.participant !== participant) recent[index] = measured = measurementsOf(participant);
      const askedAt = turns?.askedAt(branch);
      const askedUs = askedAt === undefined ? preparingUs : transaction.elapsedUs(askedAt);
      measured.observe(
        votedUs === Moment.NOT_YET ? Number.NaN : votedUs - askedUs,
        completedUs === Moment.NOT_YET ? Number.NaN : completedUs - completingUs,
      );
    }
  }
}

/** Whether it was restored from the log or made of orphans: no voting in this run has led to its decision. */
function isRestored({ state, cause, preparingUs }: TransactionRecord): boolean {
  return state === State.COMMITTED ? preparingUs === Moment.NOT_YET : cause === Cause.PRESUMED;
}
