import { Injectable } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import {
  type CommitRecord,
  CoordinatorModule,
  DistributedTransaction,
  ParticipantRegistry,
  TransactionManager,
  branch,
} from '../../src/coordinator/index.js';
import { ScriptedParticipant, createTestCoordinator } from '../../src/coordinator/testing/index.js';
import { ScriptedLog } from '../faults/scripted-log.js';
import { start } from './support/applications.js';

/** A log that keeps the records that it is given. */
function keepingLog(): { log: ScriptedLog; records: CommitRecord[] } {
  const records: CommitRecord[] = [];
  const log = new ScriptedLog({});
  const append = log.append.bind(log);
  log.append = (decision) => {
    records.push(decision.toRecord());
    return append(decision);
  };
  return { log, records };
}

function setUp() {
  const stock = new ScriptedParticipant();
  const { log, records } = keepingLog();
  return { stock, records, ...createTestCoordinator({ participants: { stock }, log }) };
}

describe('The id of the request of a transaction', () => {
  it('is in the view of the transaction, and in the record of the decision, of run() and of begin()', async () => {
    const { transactions, records } = setUp();
    const { transactionId } = await transactions.run({
      branches: [branch('stock', 1)],
      requestId: 'r-1',
    });
    expect(transactions.find(transactionId)).toMatchObject({ requestId: 'r-1' });
    const transaction = transactions.begin({ requestId: 'r-2' });
    transaction.enlist(branch('stock', 1));
    await transaction.commit();
    const other = await transactions.run({ branches: [branch('stock', 1)] });
    const view = transactions.find(other.transactionId);
    expect(view).not.toHaveProperty('requestId');
    expect(view).not.toHaveProperty('traceId');
    expect(records.map(({ caller }) => caller)).toEqual([
      { requestId: 'r-1' },
      { requestId: 'r-2' },
      undefined,
    ]);
  });

  it('stays with a request that is run again after a conflict', async () => {
    const { transactions, stock, clock, records } = setUp();
    stock.script = { prepare: [{ refuse: 'LOCK_TIMEOUT', conflict: true }, 'yes'] };
    const running = transactions.run({ branches: [branch('stock', 1)], requestId: 'r-1' });
    await clock.advance(1_000);
    await running;
    expect(stock.count('prepare')).toBe(2);
    expect(records).toMatchObject([{ caller: { requestId: 'r-1' } }]);
  });

  it.each<[string, unknown]>([
    ['empty', ''],
    ['of two lines', 'a\nb'],
    ['with an escape', '\u001b[2J'],
    ['with a space', 'a b'],
    ['long', 'x'.repeat(201)],
    ['a number', 7],
    ['null', null],
  ])('is refused before anything starts: %s', async (_name, requestId) => {
    const { transactions, stock } = setUp();
    const request = { branches: [branch('stock', 1)], requestId: requestId as string };
    await expect(transactions.run(request)).rejects.toMatchObject({
      code: 'DTC_INVALID_REQUEST',
      message: expect.stringContaining('requestId must be 1 to 200 visible ASCII characters'),
    });
    expect(() => transactions.begin({ requestId: requestId as string })).toThrow('requestId must be');
    expect(stock.calls).toEqual([]);
    expect(transactions.list()).toEqual([]);
  });

  it('is given by decorated methods, or not', async () => {
    @Injectable()
    class Shop {
      constructor(private readonly transactions: TransactionManager) {}

      @DistributedTransaction({ requestId: (_orderId: string, requestId?: string) => requestId })
      async place(orderId: string, _requestId?: string): Promise<string> {
        this.transactions.enlist(branch('stock', 1));
        return orderId;
      }
    }
    Reflect.defineMetadata('design:paramtypes', [TransactionManager], Shop);
    const { log, records } = keepingLog();
    const imports = [CoordinatorModule.forRoot({ log, name: 'shop' })];
    const application = await start({ imports, providers: [Shop] });
    application.get(ParticipantRegistry).register(new ScriptedParticipant(), { name: 'stock' });
    await application.get(Shop).place('4711', 'r-1');
    await application.get(Shop).place('4711');
    expect(records.map(({ caller }) => caller)).toEqual([{ requestId: 'r-1' }, undefined]);
  });
});
