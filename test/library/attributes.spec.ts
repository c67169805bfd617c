import { Injectable } from '@nestjs/common';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { describe, expect, it } from 'vitest';
import {
  type Attributes,
  type CommitRecord,
  CoordinatorModule,
  DistributedTransaction,
  OnTransaction,
  ParticipantRegistry,
  type TransactionEvent,
  TransactionManager,
  branch,
} from '../../src/coordinator/index.js';
import {
  ManualClock,
  ScriptedParticipant,
  createTestCoordinator,
  settled,
} from '../../src/coordinator/testing/index.js';
import { OLD, recordOf, restarted } from '../faults/restarted.js';
import { ScriptedLog } from '../faults/scripted-log.js';
import { start } from './support/applications.js';
import { LogRecorder } from './support/log-recorder.js';

const ORDER = { orderId: '4711' };

function setUp(options = {}) {
  const stock = new ScriptedParticipant();
  return { stock, ...createTestCoordinator({ participants: { stock }, ...options }) };
}

describe('The attributes of a transaction', () => {
  it('are shown, and find it', async () => {
    const { transactions } = setUp();
    const { transactionId } = await transactions.run({ branches: [branch('stock', 1)], attributes: ORDER });
    const other = await transactions.begin({ attributes: { orderId: '4712', tenant: 'a' } }).commit();
    await transactions.run({ branches: [branch('stock', 1)] });

    expect(transactions.find(transactionId)!.attributes).toEqual(ORDER);
    const found = (attributes: Attributes) =>
      transactions.list({ attributes }).map((summary) => summary.transactionId);
    expect(found(ORDER)).toEqual([transactionId]);
    expect(found({ tenant: 'a' })).toEqual([other.transactionId]);
    expect(found({ tenant: 'a', orderId: '4711' })).toEqual([]);
    expect(found({ toString: 'x' })).toEqual([]);
    expect(transactions.list({})[0]).not.toHaveProperty('attributes');
  });

  it('are copied when the transaction begins', async () => {
    const { transactions } = setUp();
    const given = { orderId: '4711' };
    const transaction = transactions.begin({ attributes: given });
    given.orderId = 'changed';
    expect(transactions.find(transaction.id)!.attributes).toEqual(ORDER);
    await transaction.rollback();
  });

  it.each<[string, unknown, string]>([
    ['a text', 'orderId=4711', 'attributes must be an object of texts'],
    ['a list', ['4711'], 'attributes must be an object of texts'],
    ['a number', { orderId: 4711 }, 'attributes.orderId must be a text'],
    ['an empty value', { orderId: '' }, 'attributes.orderId must be a text'],
    ['a value of two lines', { orderId: '1\n2' }, 'attributes.orderId must be a text'],
    ['a value with an escape', { orderId: '\u001b[2J' }, 'attributes.orderId must be a text'],
    ['a value with a line separator', { orderId: '1\u2028' }, 'attributes.orderId must be a text'],
    ['a long value', { orderId: 'x'.repeat(201) }, 'attributes.orderId must be a text'],
    ['a name with a space', { 'order id': '1' }, 'attributes must have names'],
    ['a name of the language', JSON.parse('{"__proto__":"1"}'), 'attributes must have names'],
    ['a long name', { ['x'.repeat(41)]: '1' }, 'attributes must have names'],
    [
      'nine of them',
      Object.fromEntries(Array.from('abcdefghi', (name) => [name, '1'])),
      'attributes must be at most 8',
    ],
    [
      'one that cannot be read',
      {
        get orderId() {
          throw new Error('no');
        },
      },
      'attributes cannot be read: no',
    ],
  ])('are refused before anything starts: %s', async (_name, attributes, said) => {
    const { transactions, stock } = setUp();
    const request = { branches: [branch('stock', 1)], attributes: attributes as Attributes };
    await expect(transactions.run(request)).rejects.toMatchObject({
      code: 'DTC_INVALID_REQUEST',
      message: expect.stringContaining(said),
    });
    expect(stock.calls).toEqual([]);
    expect(transactions.list()).toEqual([]);
  });

  it('are in the record of the decision, and back after a restart', async () => {
    const records: CommitRecord[] = [];
    const log = new ScriptedLog({});
    const append = log.append.bind(log);
    log.append = (decision) => {
      records.push(decision.toRecord());
      return append(decision);
    };
    const { transactions } = setUp({ log });
    await transactions.run({ branches: [branch('stock', 1)], attributes: ORDER });
    expect(records).toMatchObject([{ attributes: ORDER }]);

    const later = restarted([{ ...recordOf(OLD, 'stock'), attributes: ORDER }], {
      participants: { stock: new ScriptedParticipant({ commit: 'throw' }) },
    });
    expect(later.transactions.list({ attributes: ORDER })).toMatchObject([{ transactionId: OLD }]);
  });

  it('stay with a request that is run again after a conflict', async () => {
    const { transactions, stock, clock } = setUp();
    stock.script = { prepare: [{ refuse: 'LOCK_TIMEOUT', conflict: true }, 'yes'] };
    const running = transactions.run({ branches: [branch('stock', 1)], attributes: ORDER });
    await clock.advance(1_000);
    const { transactionId } = await running;
    expect(stock.count('prepare')).toBe(2);
    expect(transactions.find(transactionId)!.attributes).toEqual(ORDER);
  });

  it('are in the log lines, in the events, and given by decorated methods', async () => {
    @Injectable()
    class Shop {
      readonly heard: TransactionEvent[] = [];
      constructor(private readonly transactions: TransactionManager) {}

      @DistributedTransaction({ attributes: (orderId: string) => ({ orderId }) })
      async place(orderId: string): Promise<string> {
        this.transactions.enlist(branch('stock', 1));
        return orderId;
      }

      @OnTransaction('committed')
      committed(event: TransactionEvent): void {
        this.heard.push(event);
      }
    }
    Reflect.defineMetadata('design:paramtypes', [TransactionManager], Shop);
    const clock = new ManualClock();
    const log = new LogRecorder();
    const imports = [EventEmitterModule.forRoot(), CoordinatorModule.forRoot({ clock, maxAttempts: 2 })];
    const application = await start({ imports, providers: [Shop] }, log);
    const stock = new ScriptedParticipant({ commit: ['throw', 'yes'] }, clock);
    application.get(ParticipantRegistry).register(stock, { name: 'stock' });
    const shop = application.get(Shop);

    const placing = shop.place('4711');
    await settled();
    await clock.advance(1_000);
    expect(await placing).toBe('4711');
    const lines = log.of('Transaction').filter(({ level }) => level !== 'debug');
    expect(lines.map(({ level }) => level)).toEqual(['warn', 'log']);
    for (const { message } of lines) expect(message).toMatchObject({ attributes: ORDER });
    expect(shop.heard).toMatchObject([{ attributes: ORDER }]);
  });
});
