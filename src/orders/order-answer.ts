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

/** What a client is answered. */
export interface OrderAnswer {
  readonly status: HttpStatus.CREATED | HttpStatus.ACCEPTED;
  readonly location: string;
  readonly body: z.output<typeof placedOrderSchema> | z.output<typeof unsettledOrderSchema>;
  /** With 202: the order as it is to be. It is not sent; {@link answerNow} needs it. */
  readonly unsettled?: Order;
}

/** An order that was aborted: an error, which keeps what is needed to find out whether its rollback is over. */
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
 * Says over HTTP what has become of an order. Once commit is decided the answer is never an error, for an error says
 * that nothing has happened.
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
        unsettled(order, transactionId, 'pending', 'abort', 'abort is decided, and rollbacks go on'),
      );
  }
}

/**
 * @param transaction of the order, as it is now.
 * @returns the answer to a request under a key that is repeated, made of what has become of its order. Of an order that
 * is aborted: `free` once every rollback is acknowledged, for then nothing was changed; `open` before, for a branch may
 * yet report that it has committed.
 */
export function answerNow(order: Order, transaction: TransactionView): OrderAnswer | 'free' | 'open' {
  const { transactionId, state, decision, heuristic, branches } = transaction;
  if (decision === 'abort') {
    // Also when the reports were forgotten: what a participant has committed is there, and must not be done twice.
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
 * @returns what it is by now, or undefined when that is not known. An order that was aborted, and that a participant has
 * committed, stays so when its transaction is no longer kept.
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
 * @param transaction that placed the order, if this process knows it.
 * @returns the answer to a request under a key, made anew of what was placed under it.
 */
export function earlierAnswerOf(
  state: KeyState,
  transaction?: TransactionView,
): EarlierAnswer<OrderAnswer> | 'free' | 'open' {
  if (typeof state === 'string') return state;
  const { fingerprint, order } = state;
  // The order is there, so that its branch has committed, whatever else is known of it.
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

/** Refusals about what the client sent, and not about what is left of it. */
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
  return `${decision} is decided, and ${names} ended otherwise, or may have`;
}
