import { HttpStatus } from '@nestjs/common';
import type { z } from 'zod';
import { money } from '../common/money.js';
import { ProblemException } from '../common/problem.js';
import type { AbortedOutcome, HeuristicOutcome, Outcome, PendingOutcome } from '../coordinator/index.js';
import type { Order } from '../participants/order/order-book.js';
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
  const about = { transactionId, ...(participant !== undefined && { participant }) };
  if (cause === 'refused') {
    const isUnprocessable = reasonCode !== undefined && UNPROCESSABLE.has(reasonCode);
    return new ProblemException({
      status: isUnprocessable ? HttpStatus.UNPROCESSABLE_ENTITY : HttpStatus.CONFLICT,
      code: isUnprocessable ? 'DTC_UNPROCESSABLE' : 'DTC_REFUSED',
      detail: `Nothing was changed: ${reason}.`,
      ...(reasonCode !== undefined && { reasonCode }),
      ...about,
    });
  }
  // What a participant threw is for the log, and not for clients.
  const why = cause === 'failed' ? `${participant ?? 'a participant'} failed` : reason;
  return new ProblemException({
    status: HttpStatus.SERVICE_UNAVAILABLE,
    code: CODE_OF_CAUSE[cause] ?? 'DTC_ABORTED',
    detail: `Nothing was changed: ${why}. It is safe to try again.`,
    ...about,
  });
}

function detailOf(outcome: PendingOutcome | HeuristicOutcome): string {
  if (outcome.status === 'pending') return outcome.reason;
  const names = outcome.reports.map(({ participant }) => participant).join(', ');
  return `commit is decided, and ${names} ended otherwise, or may have`;
}
