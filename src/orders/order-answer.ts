import { HttpStatus } from '@nestjs/common';
import type { z } from 'zod';
import { money } from '../common/money.js';
import { ProblemException } from '../common/problem.js';
import type { AbortedOutcome, Outcome, TransactionView } from '../coordinator/index.js';
import { KEY_TAKEN, type KeyState } from '../participants/order/order-records.js';
import type { ConfirmedOrder, Order } from '../participants/order/order.js';
import { isTemporaryRefusal } from '../resource-managers/postgres/index.js';
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

/**
 * Says over HTTP what has become of an order. Once commit is decided the answer is never an error, for an error says
 * that nothing has happened.
 *
 * @throws ProblemException when the transaction was aborted.
 */
export function answerOf(order: Order, outcome: Outcome): OrderAnswer {
  const { transactionId } = outcome;
  switch (outcome.status) {
    case 'committed':
      return confirmed({ ...order, transactionId });
    case 'pending':
      return unsettled(order, transactionId, 'pending', outcome.decision, outcome.reason);
    case 'heuristic':
      return unsettled(
        order,
        transactionId,
        'heuristic',
        'commit',
        heuristicDetail('commit', outcome.reports),
      );
    case 'aborted':
      throw problemOfAbort(outcome);
  }
}

/**
 * @param transaction of the order, as it is now.
 * @returns the answer to a request under a key that is repeated, made of what has become of its order. `free` once the
 * order is aborted and no participant says otherwise: then nothing was changed.
 */
export function answerNow(order: Order, transaction: TransactionView): OrderAnswer | 'free' {
  const { transactionId, state, decision, heuristic, branches } = transaction;
  if (heuristic !== null && decision !== null) {
    const reports = branches.filter((branch) => branch.heuristic !== null);
    return unsettled(order, transactionId, 'heuristic', decision, heuristicDetail(decision, reports));
  }
  if (state === 'COMMITTED') return confirmed({ ...order, transactionId });
  if (decision === 'abort') return 'free';
  const detail =
    decision === 'commit'
      ? 'commit is decided, and not every participant has acknowledged it yet'
      : 'its outcome is not known yet';
  return unsettled(order, transactionId, 'pending', decision ?? 'unknown', detail);
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
  const now = transaction === undefined ? 'free' : answerNow(order, transaction);
  // The order is there, so that its transaction has committed, whatever else is known of it.
  return { fingerprint, answer: now === 'free' ? confirmed(order) : now };
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

/** Refusals about what the client sent, and not about what is left of it. */
const UNPROCESSABLE = new Set(['UNKNOWN_SKU', 'UNKNOWN_CUSTOMER']);

const CODE_OF_CAUSE: Partial<Record<AbortedOutcome['cause'], string>> = {
  failed: 'DTC_PARTICIPANT_FAILED',
  'timed-out': 'DTC_TIMED_OUT',
};

function problemOfAbort({
  transactionId,
  participant,
  cause,
  code: reasonCode,
  reason,
}: AbortedOutcome): ProblemException {
  const about = {
    transactionId,
    ...(participant !== undefined && { participant }),
    ...(reasonCode !== undefined && { reasonCode }),
  };
  if (reasonCode === KEY_TAKEN) return keyInUse();
  if (cause === 'refused' && !isTemporaryRefusal(reasonCode)) {
    const isUnprocessable = reasonCode !== undefined && UNPROCESSABLE.has(reasonCode);
    return new ProblemException({
      status: isUnprocessable ? HttpStatus.UNPROCESSABLE_ENTITY : HttpStatus.CONFLICT,
      code: isUnprocessable ? 'DTC_UNPROCESSABLE' : 'DTC_REFUSED',
      detail: `Nothing was changed: ${reason}.`,
      ...about,
    });
  }
  return new ProblemException({
    status: HttpStatus.SERVICE_UNAVAILABLE,
    code: CODE_OF_CAUSE[cause] ?? 'DTC_ABORTED',
    detail: `Nothing was changed: ${whyOf(cause, participant, reason)}. It is safe to try again.`,
    ...about,
  });
}

/** What a participant threw, and who ordered a rollback and in which words, is for operators and not for clients. */
function whyOf(cause: AbortedOutcome['cause'], participant: string | undefined, reason: string): string {
  if (cause === 'failed') return `${participant ?? 'a participant'} failed`;
  return cause === 'rolled-back' ? 'it was rolled back before it was decided' : reason;
}

function heuristicDetail(
  decision: 'commit' | 'abort',
  reports: readonly { readonly participant: string }[],
): string {
  const names = reports.map(({ participant }) => participant).join(', ');
  return `${decision} is decided, and ${names} ended otherwise, or may have`;
}
