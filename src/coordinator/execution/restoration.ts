import type { CommitRecord, DecisionLog, HeuristicRecord } from '../log/decision-log.js';
import { callerIn } from '../participant/caller-note.js';
import type { ParticipantResolver } from '../participant/participant-resolver.js';
import type { PreparedBranch } from '../participant/participant.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import {
  Branches,
  MAX_BRANCH_SET,
  State,
  awaitsConfirmation,
  awaitsRecord,
  completionRound,
  confirmed,
  firstBranches,
  isAbort,
  isCommit,
  isDecidedByBranch,
  onePhaseAnswered,
  only,
  recorded,
  reopenEnded,
  restoreCommitted,
  restoreDecider,
  restoreOrphan,
  restoreReport,
} from '../protocol/index.js';
import { BranchRecord, type TransactionExecutor, TransactionRecord } from './records.js';
import { Delivery, type DeliveryKind } from './delivery.js';
import type { Observers } from './observer.js';
import type { TransactionRegistry } from './registry.js';
import type { UnconfirmedEnds } from './unconfirmed-ends.js';

/**
 * The name given to the transaction of an orphan, since its own name is lost with the coordinator that began
 * it.
 */
const ORPHANED = 'orphaned';

/**
 * Restores transactions of earlier epochs. Each of their branches is stalled from the start, so that the
 * recovery job delivers the decisions at its own pace, however many there are.
 */
export class Restoration {
  /**
   * The ids of the transactions that were restored without a record. A transaction that was forgotten since
   * is not restored again.
   */
  private readonly reportedIds = new Set<string>();

  constructor(
    private readonly executor: TransactionExecutor,
    private readonly registry: TransactionRegistry,
    private readonly participants: ParticipantResolver,
    private readonly unconfirmed: UnconfirmedEnds,
    private readonly observers: Observers,
    /** Remembers when the vote of a branch expires, in milliseconds since the epoch. */
    private readonly keepExpiry: (branch: BranchRecord, expiresAt: number) => void,
    private readonly timeoutMs: number,
    /** Notes the end of a transaction that is not known here any more. */
    private readonly noteEnd: (id: string) => void,
  ) {}

  /**
   * Restores a decision in a log: commit is delivered again to every branch that has not been completed.
   *
   * @param reports of its branches.
   * @param log the log, if it is not the log of this coordinator.
   * @returns the transaction; undefined when it belongs to this run or was restored before. Nothing is done
   * then.
   */
  committed(
    record: CommitRecord,
    reports: readonly HeuristicRecord[],
    log?: DecisionLog,
  ): TransactionRecord | undefined {
    const { id, name, branches, begunAt, decidedAt, members, attributes } = record;
    const caller = callerIn(record.caller);
    for (const member of members ?? []) this.registry.noteMember(member.id);
    if (this.isKnown(id) && !this.isLeftOpen(record, log)) {
      this.checkAgainst(record);
      return undefined;
    }
    const decider = openDeciderOf(record);
    const transaction = this.make(id, name, begunAt, decidedAt);
    noteIn(transaction, log);
    if (attributes !== undefined) transaction.needExtras().attributes = attributes;
    if (caller !== undefined) transaction.needExtras().caller = caller;
    // A later record of its progress names the members again.
    if (members !== undefined) Object.assign(transaction.needGroup(), { members, isGroup: true });
    let open = Branches.NONE;
    for (const [
      index,
      { branchId, participant, address, payload, completed, expiresAt },
    ] of branches.entries()) {
      const resolved = this.participants.await(participant, address);
      const branch = this.addBranch(transaction, index, resolved, branchId, payload);
      if (expiresAt !== undefined) this.keepExpiry(branch, expiresAt);
      if (completed) {
        this.unconfirmed.add(branch, this.executor.clock.now());
        continue;
      }
      open |= only(index);
      if (index === decider) this.owe(branch, 'one-phase');
      else if (decider === -1) this.owe(branch, 'commit');
    }
    if (decider !== -1) restoreDecider(transaction, branches.length, decider);
    else restoreCommitted(transaction, branches.length, firstBranches(branches.length), open);
    this.adopt(transaction, reports);
    return transaction;
  }

  /**
   * Restores heuristic reports of a transaction without a record: only the branches that reported are
   * restored.
   */
  reported(reports: readonly HeuristicRecord[], log?: DecisionLog): void {
    const [{ id }] = reports as readonly [HeuristicRecord];
    if (this.isKnown(id)) return;
    this.reportedIds.add(id);
    this.restoreReports(reports, log);
  }

  /**
   * As {@link reported}, for reports that an operator asks for: they are restored however often that was done
   * before.
   */
  reportedAgain(reports: readonly HeuristicRecord[]): void {
    const [{ id }] = reports as readonly [HeuristicRecord];
    if (this.registry.find(id) === undefined) this.restoreReports(reports);
  }

  private restoreReports(reports: readonly HeuristicRecord[], log?: DecisionLog): void {
    const [{ id, name, decision }] = reports as readonly [HeuristicRecord];
    const transaction = this.make(id, name);
    noteIn(transaction, log);
    for (const [index, { participant, branchId }] of reports.entries()) {
      this.addBranch(transaction, index, this.participants.await(participant), branchId);
      if (decision === 'abort') restoreOrphan(transaction, index);
    }
    if (decision === 'commit')
      restoreCommitted(transaction, reports.length, firstBranches(reports.length), Branches.NONE);
    this.adopt(transaction, reports);
  }

  /**
   * Forgets which transactions of a run were restored without a record: nothing of the run is open any more.
   */
  forgetReported(prefix: string): void {
    for (const id of this.reportedIds) if (id.startsWith(prefix)) this.reportedIds.delete(id);
  }

  /**
   * Whether a transaction belongs to this run or was restored before, even if it has ended and was dropped.
   */
  private isKnown(id: string): boolean {
    return this.registry.hasHad(id) || this.reportedIds.has(id);
  }

  /**
   * The record is of an earlier run of this process, which was fenced meanwhile, or of a run that it had
   * adopted then. If the transaction is over, only its end could not be noted, and it is noted again. If it
   * was not known whether it is recorded, it goes on.
   *
   * @returns whether it has to be brought back all the same, since what its branch has decided is not known
   * any more.
   */
  private isLeftOpen({ id, decider }: CommitRecord, log?: DecisionLog): boolean {
    if (log !== undefined || !this.registry.hasHad(id)) return false;
    const known = this.registry.find(id);
    if (known === undefined) {
      if (decider.kind === 'branch') return true;
      this.registry.noteDecision(id);
      this.noteEnd(id);
      return false;
    }
    // A record that names a branch as the decider does not say what that branch has decided.
    if (isCommit(known.state) || (decider.kind === 'log' && !isAbort(known.state)))
      this.registry.noteDecision(id);
    if (awaitsRecord(known)) recorded(known, known.executor);
    else if (decider.kind === 'log') this.decidedByLog(known);
    else if (awaitsConfirmation(known)) known.executor.confirm(known);
    else this.executor.settled(known);
    return false;
  }

  /** Its record says commit, although a branch has decided it. */
  private decidedByLog(known: TransactionRecord): void {
    if (isDecidedByBranch(known)) onePhaseAnswered(known, 'commit', known.executor);
    if (awaitsConfirmation(known)) confirmed(known, known.executor);
    this.executor.settled(known);
  }

  /** Its commit record was found only now. */
  private checkAgainst({ id, decider }: CommitRecord): void {
    const known = this.registry.find(id);
    if (known === undefined || !isAbort(known.state) || decider.kind === 'branch') return;
    const error = new Error(
      'the commit record of an aborted transaction was found: one of its branches may be rolled back',
    );
    this.observers.defect(error, id, known);
  }

  /**
   * Whether an orphan can belong to its transaction: no transaction has more branches than a set can hold.
   */
  hasRoomFor({ transactionId, branchId }: PreparedBranch, participant: RegisteredParticipant): boolean {
    const known = this.registry.find(transactionId);
    if (known === undefined || known.size < MAX_BRANCH_SET) return true;
    return branchIn(known, branchId, participant) !== undefined;
  }

  /**
   * Rolls back a branch that is prepared and has no decision.
   *
   * @returns the branch, or undefined when its rollback is already running.
   */
  orphan(
    { transactionId, branchId, payload }: PreparedBranch,
    participant: RegisteredParticipant,
  ): BranchRecord | undefined {
    const known = this.registry.find(transactionId);
    const transaction = known ?? this.make(transactionId, ORPHANED);
    const before = branchIn(known, branchId, participant);
    if (before !== undefined && (transaction.open & only(before.index)) !== 0) return undefined;
    const branch = before ?? this.addBranch(transaction, transaction.size, participant, branchId);
    branch.payload ??= payload;
    // A late answer of an earlier run of this process may have begun another round.
    this.owe(branch, 'rollback', completionRound(transaction, branch.index));
    this.unconfirmed.remove(branch);
    restoreOrphan(transaction, branch.index);
    if (known === undefined) this.registry.adopt(transaction);
    else this.registry.setAside(transaction);
    return branch;
  }

  /**
   * A completed branch that is not confirmed is still prepared: the recovery job delivers the decision again.
   */
  reopen(branch: BranchRecord, { payload }: PreparedBranch): void {
    const { transaction, index } = branch;
    branch.payload ??= payload;
    this.unconfirmed.remove(branch);
    this.owe(
      branch,
      isCommit(transaction.state) ? 'commit' : 'rollback',
      completionRound(transaction, index),
    );
    reopenEnded(transaction, index);
    this.observers.reopened(branch);
    this.registry.setAside(transaction);
  }

  private adopt(transaction: TransactionRecord, reports: readonly HeuristicRecord[]): void {
    this.registry.adopt(transaction);
    for (const { branchId, kind, reason } of reports) {
      const branch = transaction.branches.find((candidate) => candidate.branchId === branchId);
      if (branch === undefined) continue;
      branch.heuristic = { kind, reason };
      this.unconfirmed.add(branch, this.executor.clock.now());
      restoreReport(transaction, branch.index, kind);
    }
    if (transaction.open !== Branches.NONE || transaction.state === State.READY) return;
    transaction.endedAt = this.executor.clock.now();
    // Only its end was not recorded.
    this.executor.settled(transaction);
  }

  /**
   * @param begunAt when it began and was decided, in milliseconds since the epoch, if known. The wall clock
   * may have been set since: a time in the future counts as now.
   */
  private make(id: string, name: string, begunAt = Infinity, decidedAt = Infinity): TransactionRecord {
    const { clock } = this.executor;
    const now = clock.now();
    const startedAt = Math.min(begunAt - clock.epochMs, now);
    const sequence = this.registry.nextSequence();
    const transaction = new TransactionRecord(this.executor, sequence, id, name, startedAt, this.timeoutMs);
    transaction.decidedAt = Math.max(startedAt, Math.min(decidedAt - clock.epochMs, now));
    return transaction;
  }

  private addBranch(
    transaction: TransactionRecord,
    index: number,
    participant: RegisteredParticipant,
    branchId: string,
    payload?: unknown,
  ): BranchRecord {
    const branch = new BranchRecord(transaction, index, participant, payload, branchId);
    transaction.addBranch(branch);
    return branch;
  }

  /** The branch waits for the recovery job. */
  private owe(branch: BranchRecord, kind: DeliveryKind, round = 0): void {
    const { participant } = branch;
    branch.delivery = new Delivery(kind, round);
    branch.delivery.failures = participant.options.maxAttempts;
    // The run that wrote the record may have asked it before, so it must not take this for the first time.
    if (kind === 'one-phase') branch.attempts = 1;
    if (participant.isAwaited)
      branch.delivery.lastError = `no participant "${participant.name}" is registered`;
  }
}

function branchIn(
  transaction: TransactionRecord | undefined,
  branchId: string,
  participant: RegisteredParticipant,
): BranchRecord | undefined {
  return transaction?.branches.find(
    (branch) => branch.participant === participant && branch.branchId === branchId,
  );
}

/** @returns the index of the branch that decides and may not have, or -1. */
function openDeciderOf({ decider, branches }: CommitRecord): number {
  if (decider.kind === 'log') return -1;
  return branches.findIndex(({ branchId, completed }) => branchId === decider.branchId && !completed);
}

/** From now on the records of the transaction go to the log that holds its commit record. */
function noteIn(transaction: TransactionRecord, log: DecisionLog | undefined): void {
  if (log !== undefined) transaction.needExtras().log = log;
}
