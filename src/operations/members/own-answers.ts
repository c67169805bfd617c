import { Injectable } from '@nestjs/common';
import {
  type Alarm,
  AlarmBoard,
  CoordinatorMembers,
  CoordinatorStatus,
  type CoordinatorView,
  type KnownOutcome,
  OperatorActions,
  type OperatorOrder,
  type ParticipantView,
  type TransactionEntries,
  TransactionManager,
  TransactionNotFoundError,
  type TransactionFilter,
  type TransactionView,
} from '../../coordinator/index.js';
import { WrongMemberError } from './member-errors.js';
import type {
  AdmissionAction,
  MemberCall,
  MemberRequest,
  ParticipantAction,
  TransactionAction,
} from './member-call.js';

/** The most alarms that one member shows. */
export const MAX_ALARMS = 50;

/** The most bytes of a list that another member asks for. It reads 4 MB. */
const MAX_LIST_BYTES = 3 * 1024 * 1024;

/** The view of a member at one moment. */
export interface OwnOverview {
  readonly coordinator: CoordinatorView;
  /** The most urgent first, at most {@link MAX_ALARMS}. */
  readonly alarms: readonly Alarm[];
  readonly alarmsTotal: number;
}

/**
 * The answers of this member alone, for its own routes and for the calls of other members alike. Nothing here asks another
 * member, so a call of a member is never passed on.
 */
@Injectable()
export class OwnAnswers {
  constructor(
    private readonly transactions: TransactionManager,
    private readonly actions: OperatorActions,
    private readonly status: CoordinatorStatus,
    private readonly members: CoordinatorMembers,
    private readonly alarms: AlarmBoard,
  ) {}

  /** @returns the transaction, if this member has it in its memory. */
  view(transactionId: string): TransactionView | undefined {
    return this.transactions.find(transactionId);
  }

  /** @returns the knowledge of this member and of the log; it never rejects. */
  outcomeOf(transactionId: string): Promise<KnownOutcome> {
    return this.members.outcomeHere(transactionId);
  }

  entries(filter: TransactionFilter): TransactionEntries {
    return this.members.entries(filter);
  }

  overview(): OwnOverview {
    const { alarms, total } = this.alarms.list(MAX_ALARMS);
    return { coordinator: this.status.view(), alarms, alarmsTotal: total };
  }

  /** Carries out an order that concerns a transaction of this member. @throws as OperatorActions does. */
  async actOn(action: TransactionAction): Promise<TransactionView> {
    const { transactionId, kind, alarm } = action;
    if (kind === 'forget' || kind === 'forget-report') await this.actions.takeUpReports(transactionId);
    const before = this.view(transactionId);
    if (before === undefined) throw new TransactionNotFoundError(transactionId);
    const branchId = 'branchId' in action ? action.branchId : undefined;
    const order: OperatorOrder = {
      by: action.by,
      reason: action.reason,
      refusal:
        alarm === undefined
          ? undefined
          : () => reasonNotCounted(alarm, this.view(transactionId), transactionId, branchId),
    };
    switch (kind) {
      case 'abort':
        await this.actions.abort(transactionId, order);
        break;
      case 'retry':
        await this.actions.retry(transactionId, action.branchId, order);
        break;
      case 'resolve':
        await this.actions.resolve(transactionId, action.branchId, action.as, order);
        break;
      case 'forget':
        await this.actions.forget(transactionId, order);
        // With its reports goes what has kept it, where no finished transaction is kept.
        return this.view(transactionId) ?? { ...before, heuristic: null };
      case 'forget-report':
        await this.actions.forgetReport(transactionId, action.branchId, order);
        return this.view(transactionId) ?? { ...before, heuristic: null };
    }
    return this.view(transactionId) ?? before;
  }

  /** Pauses or resumes a participant at this member. @throws as OperatorActions does. */
  async actAt({ kind, participant, by, reason }: ParticipantAction): Promise<ParticipantView> {
    if (kind === 'pause') await this.actions.pause(participant, { by, reason });
    else await this.actions.resume(participant, { by, reason });
    return this.status.participant(participant);
  }

  /** Drains or undrains this member. @throws as OperatorActions does. */
  async admit({ kind, by, reason }: AdmissionAction): Promise<CoordinatorView> {
    if (kind === 'drain') await this.actions.drain({ by, reason });
    else await this.actions.undrain({ by, reason });
    return this.status.view();
  }

  /**
   * Does what another member asks for.
   *
   * @throws WrongMemberError when the call is for another process; else what the action throws.
   */
  async answer({ coordinator, logId, to, request }: MemberCall): Promise<unknown> {
    const { own } = this.members;
    if (coordinator !== own.name || logId !== own.logId || to !== own.epoch) {
      throw new WrongMemberError(
        `epoch ${to} of "${coordinator}" with the log ${logId}`,
        `epoch ${own.epoch} of "${own.name}" with the log ${own.logId}`,
      );
    }
    return { coordinator, logId, epoch: to, answer: await this.carryOut(request) };
  }

  private async carryOut(request: MemberRequest): Promise<unknown> {
    switch (request.kind) {
      case 'find': {
        const { transactionId } = request;
        const outcome = await this.outcomeOf(transactionId);
        return { transaction: this.view(transactionId) ?? null, outcome };
      }
      case 'list':
        return fitting(this.entries(request.filter));
      case 'overview':
        return this.overview();
      case 'abort':
      case 'forget':
      case 'forget-report':
      case 'retry':
      case 'resolve':
        return this.actOn(request);
      case 'pause':
      case 'resume':
        return this.actAt(request);
      case 'drain':
      case 'undrain':
        return this.admit(request);
    }
  }
}

/** @returns why the order of an alarm does not fit; undefined while the alarm counts the transaction, or that branch of it. */
function reasonNotCounted(
  alarm: string,
  view: TransactionView | undefined,
  transactionId: string,
  branchId: string | undefined,
): string | undefined {
  const isCounted = view?.branches.some(
    (branch) =>
      (branchId === undefined || branch.branchId === branchId) && branch.alarms?.includes(alarm) === true,
  );
  if (isCounted === true) return undefined;
  const target = branchId === undefined ? transactionId : `Branch "${branchId}" of ${transactionId}`;
  return `${target} does not have the problem any more that the order is for.`;
}

/** @returns as many of the entries as one answer can hold. The others are on the next page. */
function fitting({ entries, hasMore }: TransactionEntries): TransactionEntries {
  let bytes = 0;
  const isTooMuch = (entry: TransactionEntries['entries'][number]): boolean =>
    (bytes += Buffer.byteLength(JSON.stringify(entry))) > MAX_LIST_BYTES;
  const end = entries.findIndex(isTooMuch);
  // One alone always fits.
  return end === -1 ? { entries, hasMore } : { entries: entries.slice(0, Math.max(1, end)), hasMore: true };
}
