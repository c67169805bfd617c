import { HttpStatus } from '@nestjs/common';
import type { z } from 'zod';
import { money } from '../common/money.js';
import { ProblemException } from '../common/problem.js';
import type { AbortedOutcome, HeuristicOutcome, Outcome, PendingOutcome } from '../coordinator/index.js';
import { KEY_TAKEN, type KeyState } from '../participants/order/order-records.js';
import type { Order } from '../participants/order/order.js';
import { isTemporaryRefusal } from '../resource-managers/postgres/index.js';
import { keyInUse } from './idempotency-key.js';
import type { EarlierAnswer } from './idempotency-store.js';
import type { placedOrderSchema, unsettledOrderSchema } from './order.schemas.js';

/** What a client is answered. */
export interface OrderAnswer {
  readonly status: HttpStatus.CREATED | HttpStatus.ACCEPTED;
  readonly location: string;
  readonly body: z.output<typeof placedOrderSchema> | z.output<typeof unsettledOrderSchema>;
}

/**
 * Says over HTTP what has become of an order. Once commit is decided the answer is never an error, for an error says
 * that nothing has happened.
 *
 * @throws ProblemException when the transaction was aborted.
 */
export function answerOf({ orderId, total }: Order, outcome: Outcome): OrderAnswer {
  const { transactionId } = outcome;
  switch (outcome.status) {
    case 'committed':
      return {
        status: HttpStatus.CREATED,
        location: `/orders/${orderId}`,
        body: { orderId, transactionId, status: 'confirmed', total: money(total) },
      };
    case 'pending':
    case 'heuristic':
      return {
        status: HttpStatus.ACCEPTED,
        location: `/transactions/${transactionId}`,
        body: {
          orderId,
          transactionId,
          status: outcome.status,
          decision: outcome.decision,
          detail: detailOf(outcome),
        },
      };
    case 'aborted':
      throw problemOfAbort(outcome);
  }
}

/** @returns the answer to a request under a key, made anew of what was placed under it. */
export function earlierAnswerOf(state: KeyState): EarlierAnswer<OrderAnswer> | 'free' | 'open' {
  if (typeof state === 'string') return state;
  const { fingerprint, order } = state;
  const { transactionId } = order;
  return { fingerprint, answer: answerOf(order, { status: 'committed', transactionId }) };
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

function detailOf(outcome: PendingOutcome | HeuristicOutcome): string {
  if (outcome.status === 'pending') return outcome.reason;
  const names = outcome.reports.map(({ participant }) => participant).join(', ');
  return `commit is decided, and ${names} ended otherwise, or may have`;
}
