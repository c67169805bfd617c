import { HttpStatus } from '@nestjs/common';
import type { z } from 'zod';
import { money } from '../common/money.js';
import { type Problem, ProblemException, problemOfAbort } from '../operations/problem/problem.js';
import type { AbortedOutcome, BranchView, Outcome, TransactionView } from '../coordinator/index.js';
import { KEY_TAKEN, type KeyState } from '../participants/order/order-records.js';
import type { ConfirmedOrder, Order } from '../participants/order/order.js';
import { keyInUse } from './idempotency-key.js';
import type { EarlierAnswer } from './idempotency-store.js';
import type { placedOrderSchema, unsettledOrderSchema } from './order.schemas.js';

/** The answer to a client. */
export interface OrderAnswer {
  readonly status: HttpStatus.CREATED | HttpStatus.ACCEPTED;
  readonly location: string;
  readonly body: z.output<typeof placedOrderSchema> | z.output<typeof unsettledOrderSchema>;
  /** With 202: the requested order. It is not sent; {@link answerNow} needs it. */
  readonly unsettled?: Order;
}

/**
 * An order that was aborted: an error, with the data that is needed to find out whether its rollback has
 * ended.
 */
export class OrderAbortedError extends ProblemException {
  constructor(
    problem: Omit<Problem, 'type' | 'title'>,
    /** The order, as an answer whose outcome is open. */
    readonly open: OrderAnswer,
  ) {
    super(problem);
  }
}

/**
 * Answers over HTTP with the outcome of an order. Once commit is decided the answer is never an error, since
 * an error means that nothing has happened.
 *
 * @throws OrderAbortedError when the transaction was aborted.
 */
export function answerOf(order: Order, outcome: Outcome): OrderAnswer {
  const { transactionId } = outcome;
  switch (outcome.status) {
    case 'committed':
      return confirmed({ ...order, transactionId });
    case 'pending':
      return unsettled(order, transactionId, 'pending', outcome.decision, outcome.reason);
    case 'heuristic':
      return endedOtherwise(order, transactionId, outcome.decision, outcome.reports);
    case 'aborted':
      throw new OrderAbortedError(
        problemOf(outcome),
        unsettled(order, transactionId, 'pending', 'abort', 'abort is decided, and rollbacks continue'),
      );
  }
}

/**
 * @param transaction the present transaction of the order.
 * @returns the answer to a repeated request with a key, made from the outcome of its order. For an aborted
 * order: `free` once every rollback is acknowledged, since nothing was changed then; `open` before, since a
 * branch may still report that it has committed.
 */
export function answerNow(order: Order, transaction: TransactionView): OrderAnswer | 'free' | 'open' {
  const { transactionId, state, decision, heuristic, branches } = transaction;
  if (decision === 'abort') {
    // Even if the reports were forgotten: a participant's commit exists, and must not be repeated.
    const reports = branches.filter(({ heuristic: report }) => report !== null && report.kind !== 'rollback');
    if (reports.length > 0) return endedOtherwise(order, transactionId, decision, reports);
    return state === 'ABORTED' && branches.every(isRolledBack) ? 'free' : 'open';
  }
  if (heuristic !== null && decision === 'commit') {
    const reports = branches.filter(
      (branch) => branch.heuristic !== null && branch.heuristic.kind !== 'commit',
    );
    return endedOtherwise(order, transactionId, decision, reports);
  }
  if (state === 'COMMITTED') return confirmed({ ...order, transactionId });
  const detail =
    decision === 'commit'
      ? 'commit is decided, and not every participant has acknowledged it yet'
      : 'its outcome is not known yet';
  return unsettled(order, transactionId, 'pending', decision ?? 'unknown', detail);
}

/**
 * @param open an answer that was not final.
 * @returns its present state, or undefined when that is not known. An order that was aborted, but that a
 * participant has committed, keeps that state when its transaction is no longer kept.
 */
export function currentAnswer(
  open: OrderAnswer,
  transaction: TransactionView | undefined,
): OrderAnswer | 'free' | 'open' | undefined {
  const { unsettled: order, body } = open;
  if (order !== undefined && transaction !== undefined) return answerNow(order, transaction);
  return body.status === 'heuristic' && body.decision === 'abort' ? open : undefined;
}

function isRolledBack({ state }: BranchView): boolean {
  return state !== 'rolling-back';
}

/**
 * @param transaction the transaction that placed the order, if this process knows it.
 * @returns the answer to a request with a key, made from the order that was placed under it.
 */
export function earlierAnswerOf(
  state: KeyState,
  transaction?: TransactionView,
): EarlierAnswer<OrderAnswer> | 'free' | 'open' {
  if (typeof state === 'string') return state;
  const { fingerprint, order } = state;
  // The order exists, so its branch has committed.
  if (transaction === undefined) return { fingerprint, answer: confirmed(order) };
  const now = answerNow(order, transaction);
  if (typeof now !== 'string') return { fingerprint, answer: now };
  return {
    fingerprint,
    answer: endedOtherwise(order, transaction.transactionId, 'abort', [{ participant: 'order' }]),
  };
}

function confirmed({ orderId, transactionId, total }: ConfirmedOrder): OrderAnswer {
  return {
    status: HttpStatus.CREATED,
    location: `/orders/${orderId}`,
    body: { orderId, transactionId, status: 'confirmed', total: money(total) },
  };
}

type Unsettled = z.output<typeof unsettledOrderSchema>;

function unsettled(
  order: Order,
  transactionId: string,
  status: Unsettled['status'],
  decision: Unsettled['decision'],
  detail: string,
): OrderAnswer {
  return {
    status: HttpStatus.ACCEPTED,
    location: `/transactions/${transactionId}`,
    body: { orderId: order.orderId, transactionId, status, decision, detail },
    unsettled: order,
  };
}

function endedOtherwise(
  order: Order,
  transactionId: string,
  decision: 'commit' | 'abort',
  reports: readonly { readonly participant: string }[],
): OrderAnswer {
  return unsettled(order, transactionId, 'heuristic', decision, heuristicDetail(decision, reports));
}

/** Refusals because of the request's content, not because of the remaining stock or money. */
const UNPROCESSABLE = new Set(['UNKNOWN_SKU', 'UNKNOWN_CUSTOMER']);

function problemOf(outcome: AbortedOutcome): Omit<Problem, 'type' | 'title'> {
  const { cause, code } = outcome;
  if (code === KEY_TAKEN) return keyInUse().problem;
  const problem = problemOfAbort(outcome);
  if (cause !== 'refused' || code === undefined || !UNPROCESSABLE.has(code)) return problem;
  return { ...problem, status: HttpStatus.UNPROCESSABLE_ENTITY, code: 'DTC_UNPROCESSABLE' };
}

function heuristicDetail(
  decision: 'commit' | 'abort',
  reports: readonly { readonly participant: string }[],
): string {
  const names = reports.map(({ participant }) => participant).join(', ');
  return `${decision} is decided, but ${names} ended otherwise, or may have`;
}
