import { describe, expect, it } from 'vitest';
import { ProblemException } from '../operations/problem/problem.js';
import type { AbortedOutcome, BranchView, Outcome, TransactionView } from '../coordinator/index.js';
import { type OrderAnswer, answerNow, answerOf, currentAnswer, earlierAnswerOf } from './order-answer.js';

const order = { orderId: 'o-1', customerId: 'alice', items: [], total: 5_990 };
const transactionId = 'coordinator.x.1';

function problemOf(outcome: Omit<AbortedOutcome, 'status' | 'transactionId'>): unknown {
  try {
    answerOf(order, { status: 'aborted', transactionId, ...outcome });
  } catch (error) {
    return (error as ProblemException).problem;
  }
  throw new Error('An aborted order was answered as if it had not aborted.');
}

describe('The answer to an order', () => {
  it('that committed is 201, with the location of the order', () => {
    expect(answerOf(order, { status: 'committed', transactionId })).toEqual({
      status: 201,
      location: '/orders/o-1',
      body: { orderId: 'o-1', transactionId, status: 'confirmed', total: { amount: 5_990, currency: 'EUR' } },
    });
  });

  it.each([
    { status: 'pending', transactionId, decision: 'commit', reason: 'payment has yet to acknowledge it' },
    { status: 'pending', transactionId, decision: 'unknown', reason: 'it is not known yet' },
    {
      status: 'heuristic',
      transactionId,
      decision: 'commit',
      heuristic: 'mixed',
      reports: [{ participant: 'payment', branchId: 'payment', kind: 'rollback', reason: 'voided by hand' }],
    },
  ] satisfies Outcome[])('fault 33: is 202 and never an error when it is $status, $decision', (outcome) => {
    const { status, location, body } = answerOf(order, outcome);

    expect(status).toBe(202);
    expect(location).toBe(`/transactions/${transactionId}`);
    expect(body).toMatchObject({ transactionId, status: outcome.status, decision: outcome.decision });
    expect(body).toHaveProperty('detail', expect.stringMatching(/payment|known/));
  });

  it.each([
    ['OUT_OF_STOCK', 409, 'DTC_REFUSED'],
    ['INSUFFICIENT_FUNDS', 409, 'DTC_REFUSED'],
    ['UNKNOWN_CUSTOMER', 422, 'DTC_UNPROCESSABLE'],
    ['UNKNOWN_SKU', 422, 'DTC_UNPROCESSABLE'],
  ])('that was refused with %s is %i, with the participant and the reason', (reasonCode, status, code) => {
    const refusal = {
      cause: 'refused',
      participant: 'inventory',
      code: reasonCode,
      reason: 'there is none',
    } as const;

    expect(problemOf(refusal)).toMatchObject({
      status,
      code,
      reasonCode,
      participant: 'inventory',
      transactionId,
      detail: 'Nothing was changed: there is none.',
    });
  });

  it('that was refused without a code is 409', () => {
    expect(problemOf({ cause: 'refused', participant: 'payment', reason: 'no' })).toMatchObject({
      status: 409,
    });
  });

  it.each([
    ['failed', 'DTC_PARTICIPANT_FAILED'],
    ['timed-out', 'DTC_TIMED_OUT'],
    ['not-recorded', 'DTC_ABORTED'],
    ['expired', 'DTC_ABORTED'],
    ['cancelled', 'DTC_ABORTED'],
  ] as const)('whose transaction was aborted because it %s is 503, and can be tried again', (cause, code) => {
    expect(problemOf({ cause, reason: 'whatever' })).toMatchObject({
      status: 503,
      code,
      retryAfterSeconds: 1,
    });
  });

  it('that conflicted with another one is 503, and can be tried again', () => {
    const refusal = {
      cause: 'refused',
      participant: 'inventory',
      code: 'LOCK_TIMEOUT',
      reason: 'a lock that it needs was not free in time',
      temporary: true,
    } as const;

    expect(problemOf(refusal)).toMatchObject({
      status: 503,
      code: 'DTC_ABORTED',
      participant: 'inventory',
      reasonCode: 'LOCK_TIMEOUT',
      retryAfterSeconds: 1,
    });
  });

  it('whose key another process has taken meanwhile is 409: ask again', () => {
    const refusal = { cause: 'refused', participant: 'order', code: 'KEY_TAKEN', reason: 'taken' } as const;

    expect(problemOf(refusal)).toMatchObject({
      status: 409,
      code: 'DTC_IDEMPOTENCY_KEY_IN_USE',
      retryAfterSeconds: 1,
    });
  });

  it('of an earlier run is made from the placed order', () => {
    const placed = { fingerprint: 'f', order: { ...order, transactionId } };

    expect(earlierAnswerOf('free')).toBe('free');
    expect(earlierAnswerOf('open')).toBe('open');
    expect(earlierAnswerOf(placed)).toEqual({
      fingerprint: 'f',
      answer: answerOf(order, { status: 'committed', transactionId }),
    });
  });

  describe('requested again under its key', () => {
    const reports = (kind: 'commit' | 'rollback' | 'hazard' | 'mixed'): BranchView[] =>
      [
        { participant: 'order', state: 'rolled-back', heuristic: null },
        { participant: 'payment', state: 'heuristic', heuristic: { kind, reason: 'by hand' } },
      ] as Partial<BranchView>[] as BranchView[];
    const rolling = (state: BranchView['state']): BranchView[] =>
      [{ participant: 'payment', state, heuristic: null }] as Partial<BranchView>[] as BranchView[];

    function now(view: Partial<TransactionView>): ReturnType<typeof answerNow> {
      const undecided = { transactionId, state: 'READY', decision: null, heuristic: null, branches: [] };
      return answerNow(order, { ...undecided, ...view } as TransactionView);
    }

    it('is 202 as long as its outcome is open, with the present knowledge', () => {
      expect(now({ state: 'READY' })).toMatchObject({
        status: 202,
        location: `/transactions/${transactionId}`,
        body: { orderId: 'o-1', status: 'pending', decision: 'unknown' },
      });
      expect(now({ state: 'COMMITTING', decision: 'commit' })).toMatchObject({
        status: 202,
        body: { orderId: 'o-1', status: 'pending', decision: 'commit' },
      });
    });

    it('is 201 once all have committed', () => {
      expect(now({ state: 'COMMITTED', decision: 'commit' })).toEqual(
        answerOf(order, { status: 'committed', transactionId }),
      );
    });

    it('is free once it is aborted and every rollback acknowledged, and open before', () => {
      expect(now({ state: 'ABORTING', decision: 'abort', branches: rolling('rolling-back') })).toBe('open');
      expect(now({ state: 'ABORTED', decision: 'abort', branches: rolling('rolling-back') })).toBe('open');
      expect(now({ state: 'ABORTED', decision: 'abort', branches: rolling('rolled-back') })).toBe('free');
      expect(now({ state: 'ABORTED', decision: 'abort', branches: reports('rollback') })).toBe('free');
    });

    it.each(['commit', 'abort'] as const)('is never free when a participant ended against %s', (decision) => {
      const state = decision === 'commit' ? 'COMMITTED' : 'ABORTED';
      const kind = decision === 'commit' ? 'rollback' : 'commit';

      expect(now({ state, decision, heuristic: 'mixed', branches: reports(kind) })).toMatchObject({
        status: 202,
        body: {
          status: 'heuristic',
          decision,
          detail: `${decision} is decided, but payment ended otherwise, or may have`,
        },
      });
    });

    it.each(['commit', 'hazard', 'mixed'] as const)(
      'is never free after an abort with a report of %s, even if that was forgotten and the transaction is not kept',
      (kind) => {
        const answer = now({ state: 'ABORTED', decision: 'abort', heuristic: null, branches: reports(kind) });

        expect(answer).toMatchObject({ status: 202, body: { status: 'heuristic', decision: 'abort' } });
        expect(currentAnswer(answer as OrderAnswer, undefined)).toBe(answer);
      },
    );

    it('is never confirmed when abort is decided, although its record exists', () => {
      const placed = { fingerprint: 'f', order: { ...order, transactionId } };
      for (const branches of [rolling('rolled-back'), rolling('rolling-back'), reports('commit')]) {
        const aborted = { transactionId, state: 'ABORTED', decision: 'abort', heuristic: null, branches };

        expect(earlierAnswerOf(placed, aborted as unknown as TransactionView)).toMatchObject({
          answer: { status: 202, body: { status: 'heuristic', decision: 'abort' } },
        });
      }
    });

    it('comes from its transaction if that is known, and otherwise from its record', () => {
      const placed = { fingerprint: 'f', order: { ...order, transactionId } };
      const going = { transactionId, state: 'COMMITTING', decision: 'commit', heuristic: null, branches: [] };

      expect(earlierAnswerOf(placed, going as unknown as TransactionView)).toMatchObject({
        answer: { status: 202, body: { status: 'pending', decision: 'commit' } },
      });
      expect(earlierAnswerOf(placed)).toMatchObject({ answer: { status: 201 } });
    });
  });

  it('does not show which operator had it rolled back, and why', () => {
    expect(problemOf({ cause: 'rolled-back', reason: 'operator alice: hangs, caller gone' })).toMatchObject({
      status: 503,
      code: 'DTC_ABORTED',
      detail: 'Nothing was changed: it was rolled back before it was decided. It is safe to try again.',
    });
  });

  it('does not show what a participant threw', () => {
    const failure = {
      cause: 'failed',
      participant: 'payment',
      reason: 'password authentication failed',
    } as const;

    expect(JSON.stringify(problemOf(failure))).not.toContain('password');
  });
});
