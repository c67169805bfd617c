import type { BranchRecord } from '../../execution/branch-record.js';
import type { CoordinatorRuntime } from '../../execution/coordinator-runtime.js';
import type { TransactionRecord } from '../../execution/transaction-record.js';
import type { RegisteredParticipant } from '../../participant/registered-participant.js';
import { READY, heuristicBranches, includes } from '../../protocol/index.js';
import { inDoubtSince, stalledSince } from '../troubles.js';

/** Transactions that have something in common. */
export class Group {
  count = 0;
  private oldest = Number.POSITIVE_INFINITY;

  /** @param since when it became one of them, on the coordinator's clock in milliseconds. */
  add(since: number): void {
    this.count++;
    if (since < this.oldest) this.oldest = since;
  }

  /** @returns for how long the oldest has been one of them, in milliseconds; 0 when there is none. */
  oldestMs(now: number): number {
    return this.count === 0 ? 0 : now - this.oldest;
  }
}

/** The transactions that are not over, or that somebody has to see to, as they are at one moment. */
export class Census {
  /** When it was taken, on the coordinator's clock. */
  readonly now: number;
  /** Begun, and neither ended nor stalled. */
  readonly inFlight = new Group();
  /** Prepared, decision not known. They are in flight or stalled as well. */
  readonly inDoubt = new Group();
  readonly stalled = new Group();
  /** With a report that nobody has dealt with. */
  readonly heuristic = new Group();
  /** By the name of the participant. */
  readonly stalledBranches = new Map<string, number>();
  readonly openReports = new Map<string, number>();
  /** Those that owe something, also when they are not registered. */
  readonly owing = new Set<RegisteredParticipant>();

  constructor({ registry, parts }: CoordinatorRuntime) {
    this.now = parts.clock.now();
    for (const transaction of registry.unsettled) this.addUnsettled(transaction);
    if (registry.inFlight > 0) {
      registry.forEach((transaction) => {
        if (transaction.endedAt === 0 && !registry.unsettled.has(transaction)) this.addInFlight(transaction);
      });
    }
  }

  private addInFlight(transaction: TransactionRecord): void {
    this.inFlight.add(transaction.startedAt);
    if (transaction.state === READY) this.inDoubt.add(inDoubtSince(transaction));
  }

  private addUnsettled(transaction: TransactionRecord): void {
    if (transaction.state === READY) this.inDoubt.add(inDoubtSince(transaction));
    if (transaction.isStalled) this.stalled.add(stalledSince(transaction));
    if (transaction.hasHeuristics) this.heuristic.add(transaction.decidedAt);
    const reports = heuristicBranches(transaction);
    for (const branch of transaction.branches) {
      if (includes(transaction.stalled, branch.index)) this.addOwing(branch, this.stalledBranches);
      if (includes(reports, branch.index)) this.addOwing(branch, this.openReports);
    }
  }

  private addOwing({ participant }: BranchRecord, counts: Map<string, number>): void {
    this.owing.add(participant);
    counts.set(participant.name, (counts.get(participant.name) ?? 0) + 1);
  }
}
