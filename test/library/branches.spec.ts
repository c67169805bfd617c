import { describe, expect, it } from 'vitest';
import {
  type Branch,
  Participant,
  type TransactionParticipant,
  TransactionManager,
  type Vote,
  branch,
} from '../../src/coordinator/index.js';
import { startWith } from './support/applications.js';

interface Reservation {
  readonly sku: string;
  readonly quantity: number;
}

@Participant({ name: 'stock' })
class StockParticipant implements TransactionParticipant<Reservation> {
  readonly seen: Branch<Reservation>['payload'][] = [];

  prepare({ payload }: Branch<Reservation>): Vote {
    this.seen.push(payload);
    return 'commit';
  }

  commit(_branch: Branch<Reservation>): void {}
  rollback(_branch: Branch<Reservation>): void {}
}

describe('branches', () => {
  it('named by class and by name reach the same participant, with the payload as it is', async () => {
    const application = await startWith([StockParticipant]);
    const pen = { sku: 'pen', quantity: 1 };
    const ink = { sku: 'ink', quantity: 2 };

    const outcome = await application
      .get(TransactionManager)
      .run({ branches: [branch(StockParticipant, pen), branch('stock', ink)] });

    expect(outcome.status).toBe('committed');
    const { seen } = application.get(StockParticipant);
    expect(seen[0]).toBe(pen);
    expect(seen[1]).toBe(ink);
  });

  it('named by class have their payload checked by the compiler', () => {
    branch(StockParticipant, { sku: 'pen', quantity: 1 });
    // @ts-expect-error -- a quantity is a number
    branch(StockParticipant, { sku: 'pen', quantity: 'one' });
    // @ts-expect-error -- the quantity is missing
    branch(StockParticipant, { sku: 'pen' });
    // @ts-expect-error -- there is no field colour
    branch(StockParticipant, { sku: 'pen', quantity: 1, colour: 'blue' });
    // @ts-expect-error -- a class that is no participant
    branch(Date, new Date());
    // Named by a text, the participant's payload type is unknown.
    expect(branch('stock', 42)).toEqual({ participant: 'stock', payload: 42, branchId: undefined });
  });

  it('of one participant twice have ids of their own; a chosen id is kept', async () => {
    const application = await startWith([StockParticipant]);
    const pen = { sku: 'pen', quantity: 1 };
    const transactions = application.get(TransactionManager);

    const { transactionId } = await transactions.run({
      branches: [
        branch(StockParticipant, pen),
        branch(StockParticipant, pen),
        branch(StockParticipant, pen, { branchId: 'line-3' }),
      ],
    });

    const ids = transactions.find(transactionId)?.branches.map(({ branchId }) => branchId);
    expect(ids).toEqual(['stock', 'stock.2', 'line-3']);
  });

  it('of an unknown participant are refused before anything starts, with the known names', async () => {
    const transactions = (await startWith([StockParticipant])).get(TransactionManager);

    await expect(transactions.run({ branches: [branch('stcok', 1)] })).rejects.toMatchObject({
      code: 'DTC_UNKNOWN_PARTICIPANT',
      participant: 'stcok',
      message: expect.stringContaining('(registered: stock)') as string,
    });
    expect(transactions.list()).toEqual([]);
  });
});
