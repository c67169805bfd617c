import { Inject, Injectable } from '@nestjs/common';
import {
  ActionRefusedError,
  BranchNotFoundError,
  ParticipantNotFoundError,
  TransactionNotFoundError,
} from '../errors.js';
import type { BranchRecord, TransactionRecord } from '../execution/records.js';
import { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import { fieldsOfBranch, fieldsOfTransaction } from '../execution/line-fields.js';
import { ownershipOf } from '../execution/ownership.js';
import { LogLine } from '../gate/log-line.js';
import { SafeLogger } from '../gate/safe-logger.js';
import { messageOf } from '../gate/texts.js';
import type { AuditEntry, OperatorAction } from '../log/decision-log.js';
import type { SharedAuditEntry } from '../log/shared-log.js';
import type { HeuristicKind } from '../protocol/index.js';
import { TransactionManager } from '../transaction-manager.js';
import { AuditTrail } from './audit-trail.js';
import { reasonAgainst } from './refusals.js';

/** The operator who gives an order, and the reason. Both are recorded. @publicApi */
export interface OperatorOrder {
  /** The name of the operator. */
  readonly by: string;
  /** The reason, 1 to 300 characters. */
  readonly reason: string;
  /**
   * Says why the order no longer fits; undefined while it does. Asked before the order is recorded, and again right before it is
   * carried out.
   *
   * @internal
   */
  readonly refusal?: (() => string | undefined) | undefined;
}

/** The place of an entry in the audit trail of all members. @publicApi */
export interface AuditPlace {
  /** Of the member that has written it. Without a shared log it has no meaning. */
  readonly epoch: number;
  readonly number: number;
}

/** One order as it is recorded, and the reason why it is refused in the present state, in one sentence. */
interface Action {
  readonly action: OperatorAction;
  readonly target: string;
  /** The transaction or the branch, where it is one, for the lines of the log. */
  readonly subject?: TransactionRecord | BranchRecord;
  readonly detail?: string;
  readonly refusal?: () => string | undefined;
  /** As `refusal`, where only the log knows. It is asked when the order is recorded. */
  readonly refusalOfLog?: () => Promise<string | undefined>;
}

/**
 * The actions of an operator. None of them changes a decision: an order that would is refused with the
 * reason. Each action is written to the audit trail before it is carried out. If it cannot be written, it is
 * not carried out.
 *
 * @publicApi
 */
@Injectable()
export class OperatorActions {
  private readonly logger = new SafeLogger('Operator');
  private readonly auditTrail: AuditTrail;

  /** @internal */
  constructor(
    @Inject(CoordinatorRuntime) private readonly runtime: CoordinatorRuntime,
    private readonly transactions: TransactionManager,
  ) {
    this.auditTrail = new AuditTrail(runtime.log, runtime.timeLimits, runtime.earlierAudits);
  }

  /**
   * Aborts a transaction that is not decided.
   *
   * @throws TransactionNotFoundError; ActionRefusedError when commit is decided, or may be; LogUnavailableError.
   */
  async abort(transactionId: string, order: OperatorOrder): Promise<void> {
    const transaction = this.transactionOf(transactionId);
    const refusal = (): string | undefined => reasonAgainst.abort(transaction);
    await this.order({ action: 'abort', target: transactionId, subject: transaction, refusal }, order, () =>
      this.runtime.executor.rollbackRequested(transaction, `operator ${order.by}: ${order.reason}`),
    );
  }

  /**
   * Starts an attempt to complete a branch now, without waiting for the end of its pause or for the result.
   *
   * @throws TransactionNotFoundError, BranchNotFoundError; ActionRefusedError when there is nothing to deliver;
   * LogUnavailableError.
   */
  async retry(transactionId: string, branchId: string, order: OperatorOrder): Promise<void> {
    const branch = this.branchOf(transactionId, branchId);
    const target = `${transactionId}/${branchId}`;
    const refusal = (): string | undefined => reasonAgainst.retry(branch);
    await this.order({ action: 'retry', target, subject: branch, refusal }, order, () => {
      void this.runtime.executor.completion.retryNow(branch);
    });
  }

  /**
   * Records how a branch has ended that has stalled or waits for a paused participant, because an operator
   * has ended it by hand or knows its end. This changes no decision: an end that contradicts the decision is
   * a heuristic report, which is kept until it is forgotten.
   *
   * @param as how the branch has ended at its participant.
   * @throws TransactionNotFoundError, BranchNotFoundError; ActionRefusedError when the branch is still being
   * tried, or an attempt is running; LogUnavailableError.
   */
  async resolve(
    transactionId: string,
    branchId: string,
    as: HeuristicKind,
    order: OperatorOrder,
  ): Promise<void> {
    const branch = this.branchOf(transactionId, branchId);
    const target = `${transactionId}/${branchId}`;
    const refusal = (): string | undefined => reasonAgainst.resolve(branch, as);
    const refusalOfLog = (): Promise<string | undefined> => this.endedElsewhere(branch);
    await this.order(
      { action: 'resolve', target, subject: branch, refusal, refusalOfLog, detail: `as ${as}` },
      order,
      (at) => {
        const who = `operator ${order.by} at ${new Date(at).toISOString()}`;
        this.runtime.executor.completion.resolve(branch, as, `resolved by ${who}: ${order.reason}`);
      },
    );
  }

  /**
   * Drops the heuristic reports of a transaction that has ended, because an operator has dealt with them. Reports that only the
   * shared log has are dropped as well, if no other member has their epoch open.
   *
   * @throws TransactionNotFoundError; ActionRefusedError when it has none or has not ended;
   * LogUnavailableError.
   */
  async forget(transactionId: string, order: OperatorOrder): Promise<void> {
    await this.takeUpReports(transactionId);
    const transaction = this.transactionOf(transactionId);
    const refusal = (): string | undefined => reasonAgainst.forget(transaction);
    await this.order(
      { action: 'forget', target: transactionId, subject: transaction, refusal },
      order,
      () => {
        this.transactions.forget(transactionId);
      },
    );
  }

  /**
   * Drops the heuristic report of one branch, because an operator has dealt with it. Those of other branches stay. As long as they
   * do, a restart may bring it back where the reports are the only trace of the commit in the log.
   *
   * @throws TransactionNotFoundError, BranchNotFoundError; ActionRefusedError when the branch has none or its transaction has not
   * ended; LogUnavailableError.
   */
  async forgetReport(transactionId: string, branchId: string, order: OperatorOrder): Promise<void> {
    await this.takeUpReports(transactionId);
    const branch = this.branchOf(transactionId, branchId);
    const refusal = (): string | undefined => reasonAgainst.forgetReport(branch);
    const target = `${transactionId}/${branchId}`;
    await this.order({ action: 'forget', target, subject: branch, refusal }, order, () => {
      this.transactions.forget(transactionId, branchId);
    });
  }

  /**
   * Reads from the shared log the reports of a transaction that this member does not know. A branch that is found late, after
   * its epoch was settled, is reported by the member that has found it. When that member is gone, only the log has the report.
   *
   * @throws (as a rejection) LogUnavailableError when the log does not answer.
   * @internal
   */
  async takeUpReports(transactionId: string): Promise<void> {
    const { registry, ids, log, restoration } = this.runtime;
    const { shared } = log;
    const origin = ids.originOf(transactionId);
    if (shared === undefined || origin.kind !== 'own' || registry.find(transactionId) !== undefined) return;
    const [run] = await this.auditTrail.read(() => shared.members.runs([origin.epoch]));
    if (run === undefined || !(run.isSettled || run.adoptedBy === log.epoch)) return;
    const reports = await this.auditTrail.read(() => shared.reports());
    const found = reports.filter(({ id }) => id === transactionId);
    if (found.length > 0) restoration.reportedAgain(found);
  }

  /**
   * Sends a participant no calls until it is resumed or the process ends: its prepares are refused and its
   * completions wait. A repeat replaces the operator and the reason.
   *
   * @throws ParticipantNotFoundError, LogUnavailableError
   */
  async pause(name: string, order: OperatorOrder): Promise<void> {
    const { participants } = this.runtime.parts;
    if (!participants.registered().some((participant) => participant.name === name)) {
      throw new ParticipantNotFoundError(name);
    }
    await this.order({ action: 'pause', target: name }, order, (since) =>
      participants.pause(name, { since, by: order.by, reason: order.reason }),
    );
  }

  /**
   * Resumes a paused participant, and continues the branches that have waited for it.
   *
   * @throws ParticipantNotFoundError; ActionRefusedError when it is not paused; LogUnavailableError.
   */
  async resume(name: string, order: OperatorOrder): Promise<void> {
    const { participants } = this.runtime.parts;
    if (
      !participants.registered().some((participant) => participant.name === name) &&
      !participants.isPaused(name)
    ) {
      throw new ParticipantNotFoundError(name);
    }
    const refusal = (): string | undefined => reasonAgainst.resume(name, participants.isPaused(name));
    await this.order({ action: 'resume', target: name, refusal }, order, () => {
      this.runtime.executor.resume(name);
      participants.resume(name);
    });
  }

  /**
   * Admits no new transaction until it is undrained. Running transactions continue. @throws
   * LogUnavailableError
   */
  async drain(order: OperatorOrder): Promise<void> {
    const { admission, parts } = this.runtime;
    await this.order({ action: 'drain', target: parts.options.name }, order, () => {
      admission.isDraining = true;
    });
  }

  /**
   * Admits new transactions again. @throws ActionRefusedError when it is not drained; LogUnavailableError.
   */
  async undrain(order: OperatorOrder): Promise<void> {
    const { admission, parts } = this.runtime;
    const refusal = (): string | undefined => reasonAgainst.undrain(admission);
    await this.order({ action: 'undrain', target: parts.options.name, refusal }, order, () => {
      admission.isDraining = false;
    });
  }

  /**
   * Records an order about dead messages of an outbox, and carries it out.
   *
   * @param ids of the messages. @param act carries it out.
   * @returns what `act` has returned.
   * @throws (as a rejection) LogUnavailableError: nothing was done; the error of `act`, which a second entry tells.
   * @internal
   */
  async onMessages<T>(
    action: 'resend' | 'discard',
    outbox: string,
    ids: readonly string[],
    order: OperatorOrder,
    act: () => Promise<T>,
  ): Promise<T> {
    let acting: Promise<T> | undefined;
    await this.order({ action, target: outbox, detail: ids.join(', ') }, order, () => {
      acting = act();
    });
    try {
      return await acting!;
    } catch (error) {
      const { clock } = this.runtime.parts;
      const at = clock.epochMs + clock.now();
      const entry = { at, ...order, action, target: outbox, detail: `failed: ${messageOf(error)}` };
      // That it has failed is told in any case.
      await this.auditTrail.write(entry).catch(() => {});
      throw error;
    }
  }

  /**
   * @param before the number of an entry; only earlier entries are listed.
   * @returns the orders of operators, the latest first.
   */
  audit(limit: number, before?: number): readonly AuditEntry[] {
    return this.auditTrail.list(limit, before);
  }

  /**
   * @param before an entry; only entries that the log has taken earlier are listed.
   * @returns the orders of the operators of all members, the latest first. If the log is not shared, those of {@link audit}.
   * @throws (as a rejection) LogUnavailableError when the log does not answer.
   */
  async auditOfAll(limit: number, before?: AuditPlace): Promise<readonly SharedAuditEntry[]> {
    const { log } = this.runtime;
    if (log.shared === undefined) {
      return this.audit(limit, before?.number).map((entry) => Object.assign({ epoch: log.epoch }, entry));
    }
    const entries = [...(await this.auditTrail.ofAll(log.shared))];
    const place =
      before && entries.findIndex(({ epoch, number }) => epoch === before.epoch && number === before.number);
    // An entry that the log has dropped was older than all that it still has.
    const end = place === undefined ? entries.length : Math.max(place, 0);
    return entries.slice(Math.max(0, end - limit), end).toReversed();
  }

  /**
   * Records an order and carries it out, unless it is refused. The state may change during the write, so the
   * refusal is checked before and after it. Nothing comes between the second check and the action.
   *
   * @param act carries it out. @param act.at the time of the order, in milliseconds since the epoch.
   */
  private async order(
    action: Action,
    { by, reason, refusal }: OperatorOrder,
    act: (at: number) => void,
  ): Promise<void> {
    const { clock } = this.runtime.parts;
    const refused = (): string | undefined => action.refusal?.() ?? refusal?.();
    const entry = {
      at: clock.epochMs + clock.now(),
      by,
      action: action.action,
      target: action.target,
      reason,
      detail: action.detail ?? null,
    };
    const before = refused();
    if (before !== undefined) this.refuse(entry, before, action.subject);
    await this.auditTrail.write(entry);
    if (action.subject !== undefined) transactionIn(action.subject).needExtras().isTouched = true;
    const after = (await action.refusalOfLog?.()) ?? refused();
    if (after !== undefined) {
      await this.auditTrail.write({ ...entry, detail: `refused: ${after}` });
      this.refuse(entry, after, action.subject);
    }
    act(entry.at);
    const { at: _at, ...said } = entry;
    const fields = { ...fieldsOf(action.subject), ...said };
    this.logger.warn(new LogLine(`${by} orders: ${entry.action} ${entry.target}`, fields));
  }

  /**
   * The other branches, and the answer to the caller, follow what is said of the branch that decides. When another member has
   * adopted the transaction, only what that one has recorded counts, and this one takes it from the log.
   */
  private async endedElsewhere({ transaction, branchId }: BranchRecord): Promise<string | undefined> {
    const { executor, log } = this.runtime;
    if (!executor.waitsForBranch(transaction)) return undefined;
    const { id } = transaction;
    const known = await this.auditTrail.read(() => ownershipOf(transaction, log));
    if (known === 'own' || known === 'undecidable') return undefined;
    if (known === 'elsewhere')
      return `Another member of the log may have adopted ${id}, and ends it: resolve branch "${branchId}" there.`;
    executor.foundOut(transaction, known === 'committed');
    return `Another member of the log has ${known} ${id}, and branch "${branchId}" ends as recorded.`;
  }

  private refuse(
    { by, action, target }: Omit<AuditEntry, 'number'>,
    reason: string,
    subject: Action['subject'],
  ): never {
    this.logger.warn(new LogLine(`refused: ${reason}`, { ...fieldsOf(subject), by, action, target }));
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
}

function transactionIn(subject: TransactionRecord | BranchRecord): TransactionRecord {
  return 'transaction' in subject ? subject.transaction : subject;
}

/** The fields of every line about a transaction or a branch. */
function fieldsOf(subject: Action['subject']): object {
  if (subject === undefined) return {};
  return 'transaction' in subject ? fieldsOfBranch(subject) : fieldsOfTransaction(subject);
}
