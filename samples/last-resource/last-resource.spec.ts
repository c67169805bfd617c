import { DatabaseSync } from 'node:sqlite';
import { afterEach, describe, expect, it } from 'vitest';
import { type Branch, branch } from '../../src/coordinator/index.js';
import { ScriptedParticipant, createTestCoordinator, settled } from '../../src/coordinator/testing/index.js';
import { type Database, type Sql, SqlLastResource } from './decision-rows.js';
import { type ShopApi, type ShopOrder, ShopOrders } from './shop-orders.js';

const ORDER: ShopOrder = { sku: 'tea', quantity: 2 };

/** A shop that loses the answer, or the request, of its next orders. */
class FlakyShop implements ShopApi {
  readonly ends = new Map<string, 'created' | 'cancelled'>();
  loses: 'nothing' | 'request' | 'answer' = 'nothing';
  refusal: string | undefined;

  async create(key: string): Promise<string | undefined> {
    if (this.loses === 'request') throw new Error('connection refused');
    if (this.refusal !== undefined || this.ends.get(key) === 'cancelled') return this.refusal ?? 'cancelled';
    this.ends.set(key, 'created');
    if (this.loses === 'answer') throw new Error('connection reset');
    return undefined;
  }

  async cancelUnlessCreated(key: string): Promise<boolean> {
    if (!this.ends.has(key)) this.ends.set(key, 'cancelled');
    return this.ends.get(key) === 'created';
  }
}

describe('orders at a shop that cannot prepare', () => {
  it.each([
    ['nothing', undefined, { status: 'committed' }, 'committed'],
    ['answer', undefined, { status: 'committed' }, 'committed'],
    ['request', undefined, { status: 'aborted', code: 'NEVER_COMMITTED' }, 'rolled-back'],
    ['nothing', 'sold out', { status: 'aborted', code: 'SHOP_REFUSED', reason: 'sold out' }, 'rolled-back'],
  ] as const)(
    'end as the stock does, if the network loses %s and the shop says %s',
    async (loses, refusal, outcome, effect) => {
      const shop = Object.assign(new FlakyShop(), { loses, refusal });
      const stock = new ScriptedParticipant();
      const { transactions, clock } = createTestCoordinator({
        participants: { stock },
        lastResources: { shop: new ShopOrders(shop) },
      });
      const told = transactions.run({ branches: [branch('stock', 1), branch('shop', ORDER)] });
      await clock.advance(1_000);
      const { transactionId } = await told;
      await settled();
      expect(await told).toMatchObject(outcome);
      expect(stock.effectOn(transactionId, 'stock')).toBe(effect);
    },
  );
});

describe('a decision row in the transaction of the work', () => {
  const sqlite = new DatabaseSync(':memory:');
  sqlite.exec('CREATE TABLE decisions (branch varchar(200) PRIMARY KEY, outcome varchar(9) NOT NULL)');
  sqlite.exec('CREATE TABLE orders (sku text)');
  const database: Database = {
    async transaction(work) {
      sqlite.exec('BEGIN');
      try {
        const result = await work(async (text, values) =>
          sqlite.prepare(text.replaceAll('$', '?')).all(...values),
        );
        sqlite.exec('COMMIT');
        return result;
      } catch (error) {
        sqlite.exec('ROLLBACK');
        throw error;
      }
    },
  };

  class Orders extends SqlLastResource<ShopOrder> {
    fails = false;
    protected async work(sql: Sql, { payload }: Branch<ShopOrder>): Promise<void> {
      await sql('INSERT INTO orders (sku) VALUES ($1)', [payload.sku]);
      if (this.fails) throw new Error('deadlock');
    }
  }

  const orders = new Orders(database);
  const branchOf = (transactionId: string) =>
    ({ transactionId, branchId: 'orders', payload: ORDER }) as Branch<ShopOrder>;
  const rows = (): number => sqlite.prepare('SELECT * FROM orders').all().length;

  afterEach(() => {
    sqlite.exec('DELETE FROM orders');
    orders.fails = false;
  });

  it('says committed exactly if the work is there', async () => {
    expect(await orders.commit(branchOf('one'))).toBe('committed');
    expect([await orders.inquire(branchOf('one')), await orders.inquire(branchOf('one')), rows()]).toEqual([
      'committed',
      'committed',
      1,
    ]);
    orders.fails = true;
    await expect(orders.commit(branchOf('two'))).rejects.toThrow('deadlock');
    expect([await orders.inquire(branchOf('two')), rows()]).toEqual(['never', 1]);
  });

  it('lets a commit that arrives after never fail, without its work', async () => {
    expect(await orders.inquire(branchOf('late'))).toBe('never');
    await expect(orders.commit(branchOf('late'))).rejects.toThrow(/UNIQUE/);
    expect([await orders.inquire(branchOf('late')), rows()]).toEqual(['never', 0]);
  });
});
