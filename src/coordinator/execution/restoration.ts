import type { CommitRecord, HeuristicRecord } from '../log/decision-log.js';
import type { ParticipantRegistry } from '../participant/participant.registry.js';
import type { PreparedBranch } from '../participant/participant.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { firstBranches, restoreCommitted, restoreOrphan, restoreReport } from '../protocol/index.js';
import { BranchRecord } from './branch-record.js';
import { Delivery, type DeliveryKind } from './delivery.js';
import { type TransactionDriver, TransactionRecord } from './transaction-record.js';
import type { TransactionRegistry } from './transaction-registry.js';

/** What the transaction of an orphan is called, as its name went down with the coordinator that began it. */
const ORPHANED = 'orphaned';

/**
 * Brings back transactions of earlier epochs. Each of their branches is stalled from the start, so that the recovery job
 * delivers what is due, at its own pace, however many there are.
 */
export class Restoration {
  constructor(
    private readonly driver: TransactionDriver,
    private readonly registry: TransactionRegistry,
    private readonly participants: ParticipantRegistry,
    private readonly timeoutMs: number,
  ) {}

  /**
   * A decision that the log holds: commit is delivered again to every branch that has made no report.
   *
   * @param reports of its branches.
   */
  committed({ id, name, branches }: CommitRecord, reports: readonly HeuristicRecord[]): void {
    const transaction = this.make(id, name);
    for (const [index, { branchId, participant, payload }] of branches.entries()) {
      const awaited = this.participants.await(participant);
      this.owe(new BranchRecord(transaction, index, awaited, payload, branchId), 'commit');
    }
    restoreCommitted(transaction, branches.length, firstBranches(branches.length));
    this.registry.adopt(transaction);
    this.reported(transaction, reports);
  }

  /**
   * Heuristic reports of an aborted transaction, of which nothing else was kept: branches that were rolled back as they
   * were told do not come back.
   */
  aborted(reports: readonly HeuristicRecord[]): void {
    const [{ id, name }] = reports as readonly [HeuristicRecord];
    const transaction = this.make(id, name);
    for (const { participant, branchId } of reports) {
      const awaited = this.participants.await(participant);
      this.owe(
        new BranchRecord(transaction, restoreOrphan(transaction), awaited, undefined, branchId),
        'rollback',
      );
    }
    this.registry.adopt(transaction);
    this.reported(transaction, reports);
  }

  /** A branch that is prepared and has no decision: it is rolled back. */
  orphan({ transactionId, branchId }: PreparedBranch, participant: RegisteredParticipant): BranchRecord {
    const known = this.registry.find(transactionId);
    const transaction = known ?? this.make(transactionId, ORPHANED);
    const index = restoreOrphan(transaction);
    const branch = new BranchRecord(transaction, index, participant, undefined, branchId);
    this.owe(branch, 'rollback');
    if (known === undefined) this.registry.adopt(transaction);
    else this.registry.setAside(transaction);
    return branch;
  }

  private reported(transaction: TransactionRecord, reports: readonly HeuristicRecord[]): void {
    for (const { branchId, kind, reason } of reports) {
      const branch = transaction.branches.find((candidate) => candidate.branchId === branchId);
      if (branch === undefined) continue;
      branch.heuristic = { kind, reason };
      branch.participant.counts.stalled--;
      branch.participant.unforgottenReports++;
      if (restoreReport(transaction, branch.index, kind)) transaction.endedAt = this.driver.clock.now();
    }
  }

  private make(id: string, name: string): TransactionRecord {
    const { clock } = this.driver;
    const sequence = this.registry.nextSequence();
    const transaction = new TransactionRecord(this.driver, sequence, id, name, clock.now(), this.timeoutMs);
    transaction.decidedAt = clock.now();
    return transaction;
  }

  /** The branch waits for the recovery job. */
  private owe(branch: BranchRecord, kind: DeliveryKind): void {
    const { transaction, participant } = branch;
    branch.delivery = new Delivery(branch, kind, 0);
    branch.delivery.failures = participant.options.maxAttempts;
    participant.counts.stalled++;
    transaction.addBranch(branch);
  }
}
