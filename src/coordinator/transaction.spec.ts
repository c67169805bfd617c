import { describe, expect, it } from 'vitest';
import { NotActiveError, ShuttingDownError, UnknownParticipantError } from './errors.js';
import { branch } from './participant/branch-request.js';
import { ScriptedParticipant, createTestCoordinator, settled } from './testing/index.js';

function setUp() {
  const stock = new ScriptedParticipant();
  const payment = new ScriptedParticipant();
  const coordinator = createTestCoordinator({ participants: { stock, payment }, timeoutMs: 1_000 });
  return { ...coordinator, stock, payment };
}

describe('Transaction', () => {
  it('enlists one by one, calls no participant before commit, and commits', async () => {
    const { transactions, stock, payment } = setUp();
    const transaction = transactions.begin({ name: 'by hand' });
    expect(transaction.name).toBe('by hand');
    expect(transaction.state).toBe('ACTIVE');

    expect(transaction.enlist(branch('stock', 1))).toBe('stock');
    expect(transaction.enlist(branch('payment', 2))).toBe('payment');
    await settled();
    expect([...stock.calls, ...payment.calls]).toEqual([]);

    expect(await transaction.commit()).toEqual({ status: 'committed', transactionId: transaction.id });
    expect(transaction.state).toBe('COMMITTED');
  });

  it('rolls back on request, with the reason of the caller', async () => {
    const { transactions, stock } = setUp();
    const transaction = transactions.begin();
    transaction.enlist(branch('stock', 1));

    expect(await transaction.rollback('the customer left')).toEqual({
      status: 'aborted',
      transactionId: transaction.id,
      cause: 'rolled-back',
      reason: 'the customer left',
    });
    await settled();
    expect(stock.calls.map(({ method }) => method)).toEqual(['rollback']);
    expect(transaction.state).toBe('ABORTED');
  });

  it('can only be rolled back when it is marked rollback-only, and asks no participant to prepare', async () => {
    const { transactions, stock } = setUp();
    const transaction = transactions.begin();
    transaction.enlist(branch('stock', 1));
    expect(transaction.isRollbackOnly).toBe(false);
    transaction.setRollbackOnly('the price changed');
    transaction.setRollbackOnly('and something else');
    expect(transaction.isRollbackOnly).toBe(true);
    expect(() => transaction.enlist(branch('payment', 1))).toThrow(
      `The transaction ${transaction.id} is rollback-only and takes no more branches`,
    );

    expect(await transaction.commit()).toMatchObject({
      status: 'aborted',
      cause: 'rollback-only',
      reason: 'the price changed',
    });
    expect(stock.count('prepare')).toBe(0);
  });

  it('cannot be marked rollback-only once the voting has started', async () => {
    const { transactions } = setUp();
    const transaction = transactions.begin();
    transaction.enlist(branch('stock', 1));
    const committing = transaction.commit();
    transaction.setRollbackOnly('too late');

    expect(transaction.isRollbackOnly).toBe(false);
    expect(await committing).toMatchObject({ status: 'committed' });
  });

  it('continues after a refused enlist', async () => {
    const { transactions } = setUp();
    const transaction = transactions.begin();
    transaction.enlist(branch('stock', 1));
    expect(() => transaction.enlist(branch('nobody', 1))).toThrow(UnknownParticipantError);

    expect(await transaction.commit()).toMatchObject({ status: 'committed' });
  });

  it('is aborted by its deadline when it is abandoned, and then takes no more branches', async () => {
    const { transactions, clock } = setUp();
    const transaction = transactions.begin({ timeoutMs: 300 });
    transaction.enlist(branch('stock', 1));
    await clock.advance(300);

    expect(transaction.state).toBe('ABORTED');
    expect(() => transaction.enlist(branch('payment', 1))).toThrow(NotActiveError);
    expect(await transaction.commit()).toMatchObject({
      status: 'aborted',
      cause: 'timed-out',
      reason: 'the transaction was not decided before its deadline',
    });
  });

  it('is aborted by the signal of its caller, even while it is idle', async () => {
    const { transactions, stock } = setUp();
    const controller = new AbortController();
    const transaction = transactions.begin({ signal: controller.signal });
    transaction.enlist(branch('stock', 1));
    controller.abort(new Error('the client left'));
    await settled();

    expect(transaction.state).toBe('ABORTED');
    expect(stock.count('rollback')).toBe(1);
    expect(await transaction.commit()).toMatchObject({
      cause: 'cancelled',
      reason: 'the caller cancelled: the client left',
    });
  });

  it('ends before it starts when its signal is already aborted', async () => {
    const { transactions, runtime } = setUp();
    const transaction = transactions.begin({ signal: AbortSignal.abort() });

    expect(transaction.state).toBe('ABORTED');
    expect(() => transaction.enlist(branch('stock', 1))).toThrow(NotActiveError);
    expect(await transaction.rollback()).toMatchObject({ status: 'aborted', cause: 'cancelled' });
    expect(runtime.registry.inFlight).toBe(0);
  });

  it('is one object for all callers', async () => {
    const { transactions } = setUp();
    const transaction = transactions.begin();

    transaction.run(() => expect(transactions.current()).toBe(transaction));
    await transaction.rollback();
  });

  it('cannot be begun when the coordinator is closed, and continues if it was begun before', async () => {
    const { transactions, runtime } = setUp();
    const transaction = transactions.begin();
    runtime.admission.close();
    expect(() => transactions.begin()).toThrow(ShuttingDownError);
    transaction.enlist(branch('stock', 1));

    expect(await transaction.commit()).toMatchObject({ status: 'committed' });
  });
});
