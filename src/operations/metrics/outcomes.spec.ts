import { describe, expect, it, vi } from 'vitest';
import { ScriptedLog } from '../../../test/faults/scripted-log.js';
import { branch } from '../../coordinator/participant/branch-request.js';
import { refuse } from '../../coordinator/participant/participant.js';
import { settled } from '../../coordinator/testing/index.js';
import { type Measured, createMeasured } from './metrics.fixture.js';

const BOTH = { branches: [branch('stock', 1), branch('payment', 1)] };
const OUTCOMES = 'dtc_transactions_total';

/** How to cause each abort. */
const ABORTS: Record<string, (coordinator: Measured) => Promise<unknown>> = {
  refused: async ({ transactions, stock }) => {
    stock.script = { prepare: 'no' };
    await transactions.run(BOTH);
  },
  'refused-for-now': async ({ transactions, stock }) => {
    vi.spyOn(stock, 'prepare').mockResolvedValue(refuse('NO_SLOT', 'no slot is free', { temporary: true }));
    await transactions.run(BOTH);
  },
  failed: async ({ transactions, stock }) => {
    stock.script = { prepare: 'throw' };
    await transactions.run(BOTH);
  },
  'timed-out': async ({ transactions, stock, clock }) => {
    stock.script = { prepare: 'hang' };
    const outcome = transactions.run(BOTH);
    await clock.advance(2_000);
    await outcome;
  },
  cancelled: ({ transactions }) => transactions.run({ ...BOTH, signal: AbortSignal.abort() }),
  'rolled-back': ({ transactions }) => transactions.begin().rollback(),
  'rollback-only': async ({ transactions }) => {
    const transaction = transactions.begin();
    transaction.setRollbackOnly();
    await transaction.commit();
  },
  'not-recorded': ({ transactions }) => transactions.run(BOTH),
  expired: async ({ transactions, stock }) => {
    stock.script = { prepare: { answer: { vote: 'commit', validForMs: 1 } } };
    await transactions.run(BOTH);
  },
};

describe('The metrics of outcomes', () => {
  it('count each caller that was told committed, even if all branches only read', async () => {
    const { transactions, stock, payment, scrape } = createMeasured();
    await transactions.run(BOTH);
    stock.script = { prepare: 'read-only' };
    payment.script = { prepare: 'read-only' };
    await transactions.run(BOTH);

    const found = await scrape();
    expect(found.nonZero(OUTCOMES)).toEqual({ '{outcome="committed",cause="none"}': 2 });
    expect(found.nonZero('dtc_votes_total')).toEqual({
      '{participant="stock",vote="commit"}': 1,
      '{participant="payment",vote="commit"}': 1,
      '{participant="stock",vote="read-only"}': 1,
      '{participant="payment",vote="read-only"}': 1,
    });
    expect(found.nonZero('dtc_completions_total')).toEqual({
      '{participant="stock",decision="commit"}': 1,
      '{participant="payment",decision="commit"}': 1,
    });
  });

  it.each(Object.entries(ABORTS))('count an abort by its cause: %s', async (cause, bringAbout) => {
    const log = new ScriptedLog({ append: () => Promise.reject(new Error('the disk is gone')) });
    const coordinator = createMeasured({ log });
    await bringAbout(coordinator);
    await settled();

    const found = await coordinator.scrape();
    expect(found.nonZero(OUTCOMES)).toEqual({ [`{outcome="aborted",cause="${cause}"}`]: 1 });
    expect(found.value('dtc_transaction_duration_seconds_count{decision="abort"}')).toBe(1);
    expect(found.value('dtc_transaction_duration_seconds_count{decision="commit"}')).toBe(0);
  });

  it('count a caller that was told pending once, however the transaction ends', async () => {
    const { transactions, stock, clock, recover, scrape } = createMeasured({ maxAttempts: 1 });
    stock.script = { commit: ['throw', 'yes'] };
    const outcome = transactions.run(BOTH);
    await clock.advance(3_000);
    expect(await outcome).toMatchObject({ status: 'pending' });
    await recover();

    const found = await scrape();
    expect(found.nonZero(OUTCOMES)).toEqual({ '{outcome="pending",cause="none"}': 1 });
    expect(found.value('dtc_transaction_duration_seconds_count{decision="commit"}')).toBe(1);
  });

  it('count a heuristic outcome and its report, which is open until an operator has dealt with it', async () => {
    const { transactions, stock, clock, scrape } = createMeasured();
    stock.script = { commit: { heuristic: 'rollback' } };
    const outcome = await transactions.run(BOTH);
    expect(outcome).toMatchObject({ status: 'heuristic' });
    await clock.advance(20_000);

    const found = await scrape();
    expect(found.nonZero(OUTCOMES)).toEqual({ '{outcome="heuristic",cause="none"}': 1 });
    expect(found.value('dtc_heuristic_reports_total{participant="stock"}')).toBe(1);
    expect(found.value('dtc_heuristic_reports_open{participant="stock"}')).toBe(1);
    expect(found.value('dtc_transactions_heuristic')).toBe(1);
    expect(found.value('dtc_heuristic_oldest_seconds')).toBe(20);

    transactions.forget(outcome.transactionId);
    const after = await scrape();
    expect(after.value('dtc_heuristic_reports_open{participant="stock"}')).toBe(0);
    expect(after.value('dtc_transactions_heuristic')).toBe(0);
    expect(after.value('dtc_heuristic_oldest_seconds')).toBe(0);
  });

  it('count refusals for lack of room, by their code, and no errors of the caller', async () => {
    const { transactions, scrape, runtime } = createMeasured({ maxInFlight: 1 });
    const begun = transactions.begin();
    await expect(transactions.run(BOTH)).rejects.toThrow();
    await begun.rollback();
    await expect(transactions.run({ branches: [], timeoutMs: 0 })).rejects.toThrow();
    runtime.admission.isDraining = true;
    expect(() => transactions.begin()).toThrow();

    const found = await scrape();
    expect(found.nonZero('dtc_refused_total')).toEqual({
      '{code="DTC_OVERLOADED"}': 1,
      '{code="DTC_DRAINING"}': 1,
    });
  });
});
