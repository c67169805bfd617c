import { Inject, Injectable, Logger } from '@nestjs/common';
import {
  ActionRefusedError,
  BranchNotFoundError,
  ParticipantNotFoundError,
  TransactionNotFoundError,
} from '../../errors.js';
import type { BranchRecord } from '../../execution/branch-record.js';
import { CoordinatorRuntime } from '../../execution/coordinator-runtime.js';
import { release } from '../../execution/held.js';
import type { TransactionRecord } from '../../execution/transaction-record.js';
import type { AuditEntry, OperatorAction } from '../../log/decision-log.js';
import type { RegisteredParticipant } from '../../participant/registered-participant.js';
import type { HeuristicKind } from '../../protocol/index.js';
import { TransactionManager } from '../../transaction-manager.js';
import { reasonAgainst } from './refusals.js';

/** Who orders something, and why: both are kept. @publicApi */
export interface Order {
  /** The name of the operator. */
  readonly by: string;
  /** In words, 1 to 300 characters. */
  readonly reason: string;
}

/**
 * What an operator can do. Nothing here turns a decision round: what would is refused with the reason. Each action is
 * written to the audit trail before it is done, and what cannot be written is not done.
 *
 * @publicApi
 */
@Injectable()
export class OperatorActions {
  private readonly logger = new Logger('Operator');

  constructor(
    @Inject(CoordinatorRuntime) private readonly runtime: CoordinatorRuntime,
    private readonly transactions: TransactionManager,
  ) {}

  /**
   * Aborts a transaction that is not decided.
   *
   * @throws TransactionNotFoundError; ActionRefusedError when commit is decided, or may be; LogUnavailableError.
   */
  async abort(transactionId: string, order: Order): Promise<void> {
    const transaction = this.transactionOf(transactionId);
    await this.order('abort', transactionId, order, () => reasonAgainst.abort(transaction));
    this.runtime.executor.rollbackRequested(transaction, `operator ${order.by}: ${order.reason}`);
  }

  /**
   * Starts an attempt to complete a branch now, whatever its pause. It does not wait for what comes of it.
   *
   * @throws TransactionNotFoundError, BranchNotFoundError; ActionRefusedError when there is nothing to try; LogUnavailableError.
   */
  async retry(transactionId: string, branchId: string, order: Order): Promise<void> {
    const branch = this.branchOf(transactionId, branchId);
    const target = `${transactionId}/${branchId}`;
    await this.order('retry', target, order, () => reasonAgainst.retry(branch));
    void this.runtime.executor.deliveries.retryNow(branch);
  }

  /**
   * Records how a stalled branch has ended, because somebody made it so by hand, or knows it. It changes no decision:
   * an end that disagrees with it is a heuristic report, and is kept until it is forgotten.
   *
   * @param as how the branch has ended at its participant.
   * @throws TransactionNotFoundError, BranchNotFoundError; ActionRefusedError when the branch has not stalled, or is
   * being tried; LogUnavailableError.
   */
  async resolve(transactionId: string, branchId: string, as: HeuristicKind, order: Order): Promise<void> {
    const branch = this.branchOf(transactionId, branchId);
    const target = `${transactionId}/${branchId}`;
    await this.order('resolve', target, order, () => reasonAgainst.resolve(branch), `as ${as}`);
    const at = new Date(this.runtime.parts.clock.epochMs + this.runtime.parts.clock.now()).toISOString();
    this.runtime.executor.deliveries.resolve(
      branch,
      as,
      `resolved by operator ${order.by} at ${at}: ${order.reason}`,
    );
  }

  /**
   * Drops the heuristic reports of a transaction that is over, because somebody has dealt with them.
   *
   * @throws TransactionNotFoundError; ActionRefusedError when it has none, or goes on; LogUnavailableError.
   */
  async forget(transactionId: string, order: Order): Promise<void> {
    const transaction = this.transactionOf(transactionId);
    await this.order('forget', transactionId, order, () => reasonAgainst.forget(transaction));
    this.transactions.forget(transactionId);
  }

  /**
   * Gives a participant nothing to do until it is resumed, or the process ends: its prepares are refused, its
   * completions wait. Asked again, it changes who paused it and why.
   *
   * @throws ParticipantNotFoundError, LogUnavailableError
   */
  async pause(name: string, order: Order): Promise<void> {
    const participant = this.participantOf(name);
    await this.order('pause', name, order);
    const { clock } = this.runtime.parts;
    const since = participant.paused?.since ?? clock.epochMs + clock.now();
    participant.paused = { since, by: order.by, reason: order.reason };
  }

  /**
   * Lets a paused participant go on, with what has waited for it as well.
   *
   * @throws ParticipantNotFoundError; ActionRefusedError when it is not paused; LogUnavailableError.
   */
  async resume(name: string, order: Order): Promise<void> {
    const participant = this.participantOf(name);
    await this.order('resume', name, order, () => reasonAgainst.resume(participant));
    this.releaseAll(participant);
    participant.paused = undefined;
  }

  /** Takes no new transaction until it is undrained; what is in flight goes on. @throws LogUnavailableError */
  async drain(order: Order): Promise<void> {
    await this.order('drain', this.runtime.parts.options.name, order);
    this.runtime.admission.isDraining = true;
  }

  /** Takes new transactions again. @throws ActionRefusedError when it is not drained; LogUnavailableError. */
  async undrain(order: Order): Promise<void> {
    const { admission, parts } = this.runtime;
    await this.order('undrain', parts.options.name, order, () => reasonAgainst.undrain(admission));
    admission.isDraining = false;
  }

  /**
   * @param before the number of an entry; only those before it are listed.
   * @returns what operators have ordered, the youngest first.
   */
  audit(limit: number, before?: number): readonly AuditEntry[] {
    return this.runtime.audit.list(limit, before);
  }

  /**
   * Writes down what is about to be done, unless it is refused. Things move while it is being written, so whether it is
   * refused is asked before and after.
   */
  private async order(
    action: OperatorAction,
    target: string,
    { by, reason }: Order,
    refusal: () => string | undefined = () => undefined,
    detail: string | null = null,
  ): Promise<void> {
    this.check(action, target, by, refusal);
    const { clock } = this.runtime.parts;
    const at = clock.epochMs + clock.now();
    await this.runtime.audit.write({ at, by, action, target, reason, detail });
    this.check(action, target, by, refusal);
    this.logger.warn({ by, action, target, reason, detail }, `${by} orders: ${action} ${target}`);
  }

  private check(action: string, target: string, by: string, refusal: () => string | undefined): void {
    const reason = refusal();
    if (reason === undefined) return;
    this.logger.warn({ by, action, target }, `refused: ${reason}`);
    throw new ActionRefusedError(reason);
  }

  private transactionOf(id: string): TransactionRecord {
    const transaction = this.runtime.registry.find(id);
    if (transaction === undefined) throw new TransactionNotFoundError(id);
    return transaction;
  }

  private branchOf(transactionId: string, branchId: string): BranchRecord {
    const { branches } = this.transactionOf(transactionId);
    const found = branches.find((branch) => branch.branchId === branchId);
    if (found === undefined) throw new BranchNotFoundError(transactionId, branchId);
    return found;
  }

  private participantOf(name: string): RegisteredParticipant {
    const found = this.runtime.parts.participants.list().find((participant) => participant.name === name);
    if (found === undefined) throw new ParticipantNotFoundError(name);
    return found;
  }

  private releaseAll(participant: RegisteredParticipant): void {
    const { registry, parts, deadlines } = this.runtime;
    registry.forEach((transaction) => {
      for (const branch of transaction.branches) {
        if (branch.participant === participant) release(branch, parts.clock, deadlines, parts.random());
      }
    });
  }
}
