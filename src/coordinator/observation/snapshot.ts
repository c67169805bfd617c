import type { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import type { TransactionRecord } from '../execution/records.js';
import type { Unresolved } from '../execution/registry.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { State } from '../protocol/index.js';
import { expiringBranches, inDoubtSince, stalledSince } from './attention.js';

/** A group of transactions. */
export class Group {
  count = 0;
  private oldest = Number.POSITIVE_INFINITY;

  /** @param since when it joined the group, on the coordinator's clock in milliseconds. */
  add(since: number): void {
    this.count++;
    if (since < this.oldest) this.oldest = since;
  }

  /** @returns how long the oldest has been in the group, in milliseconds; undefined when it is empty. */
  oldestMs(now: number): number | undefined {
    return this.count === 0 ? undefined : now - this.oldest;
  }
}

/**
 * The transactions that have not ended or that need an operator, at one moment. They are counted from their
 * state, for metrics, health and listings alike.
 */
export class Snapshot {
  /** When it was taken, on the coordinator's clock. */
  readonly now: number;
  /** Begun, and neither ended nor stalled. */
  readonly inFlight = new Group();
  /** Prepared, decision not known. These are also in flight or stalled. */
  readonly inDoubt = new Group();
  /** Of those: the last resource was called, and has not said how it has ended. */
  readonly lastResources = new Group();
  readonly stalled = new Group();
  /** With a heuristic report that no operator has dealt with. */
  readonly heuristic = new Group();
  /**
   * The branches that are not completed and whose vote is about to expire or has expired, by their
   * participant's name.
   */
  private readonly expiring = new Map<string, number>();
  /** By participant, registered or not. */
  private readonly unresolved: ReadonlyMap<RegisteredParticipant, Unresolved>;

  constructor({ registry, parts }: CoordinatorRuntime) {
    this.now = parts.clock.now();
    this.unresolved = registry.unresolved();
    for (const transaction of registry.unsettled) this.addUnsettled(transaction);
    if (registry.inFlight > 0) {
      registry.forEach((transaction) => {
        if (transaction.endedAt === 0 && !registry.unsettled.has(transaction)) this.addInFlight(transaction);
      });
    }
  }

  /** The participants with branches that are stalled or hold a report, registered or not. */
  get owing(): Iterable<RegisteredParticipant> {
    return this.unresolved.keys();
  }

  /**
   * @returns the number of stalled branches at the participants of this name. There may have been several.
   */
  stalledBranches(participant: string): number {
    return this.sum(participant, ({ stalled }) => stalled);
  }

  /**
   * @returns the number of branches with a report that no operator has dealt with, at the participants of
   * this name.
   */
  openReports(participant: string): number {
    return this.sum(participant, ({ reports }) => reports);
  }

  /** @returns the number of branches at this participant whose vote is about to expire or has expired. */
  expiringVotes(participant: string): number {
    return this.expiring.get(participant) ?? 0;
  }

  private addExpiring(transaction: TransactionRecord): void {
    if (transaction.extras?.hasExpiries !== true) return;
    for (const { participant } of expiringBranches(transaction))
      this.expiring.set(participant.name, this.expiringVotes(participant.name) + 1);
  }

  private sum(name: string, count: (unresolved: Unresolved) => number): number {
    let sum = 0;
    for (const [participant, unresolved] of this.unresolved)
      if (participant.name === name) sum += count(unresolved);
    return sum;
  }

  private addInFlight(transaction: TransactionRecord): void {
    this.inFlight.add(transaction.startedAt);
    this.addExpiring(transaction);
    this.addInDoubt(transaction);
  }

  private addUnsettled(transaction: TransactionRecord): void {
    this.addExpiring(transaction);
    this.addInDoubt(transaction);
    if (transaction.isStalled) this.stalled.add(stalledSince(transaction));
    if (transaction.hasHeuristics) this.heuristic.add(transaction.decidedAt);
  }

  private addInDoubt(transaction: TransactionRecord): void {
    if (transaction.state !== State.READY) return;
    this.inDoubt.add(inDoubtSince(transaction));
    const decider = transaction.branches[transaction.decider];
    if (decider?.participant.isLastResource !== true || !decider.owes) return;
    this.lastResources.add(transaction.extras?.askedToDecideAt ?? inDoubtSince(transaction));
  }
}
