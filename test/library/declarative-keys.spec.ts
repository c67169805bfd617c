import { Injectable } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type CommittedOutcome,
  CoordinatorModule,
  DistributedTransaction,
  type DistributedTransactionOptions,
  InvalidOptionsError,
  KeyReusedError,
  NoTransactionError,
  NotCommittedError,
  ParticipantRegistry,
  RepeatedCallError,
  TransactionManager,
  branch,
} from '../../src/coordinator/index.js';
import { ScriptedParticipant } from '../../src/coordinator/testing/index.js';
import { LogRecorder } from './support/log-recorder.js';

interface Order {
  readonly key: string;
  readonly sku: string;
}

/** A promise for which a method waits, so that another call comes meanwhile. */
let gate: Promise<void> = Promise.resolve();

@Injectable()
class Shop {
  readonly placed: string[] = [];
  readonly told: unknown[] = [];

  constructor(private readonly transactions: TransactionManager) {}

  @DistributedTransaction({ key: ({ key }: Order) => key })
  async place({ sku }: Order): Promise<string> {
    this.placed.push(sku);
    await gate;
    this.transactions.enlist(branch('stock', sku));
    if (sku === 'defect') throw new Error('a defect');
    return `placed ${sku}`;
  }

  @DistributedTransaction({
    key: ({ key }: Order) => key,
    repeated(this: Shop, { transactionId }: CommittedOutcome, { sku }: Order) {
      this.told.push({ transactionId, inTransaction: this.transactions.current() !== undefined });
      return `placed ${sku} before`;
    },
  })
  async placeAgain({ sku }: Order): Promise<string> {
    this.placed.push(sku);
    this.transactions.enlist(branch('stock', sku));
    return `placed ${sku}`;
  }

  @DistributedTransaction({
    propagation: 'requires-new',
    key(this: Shop, { key }: Order) {
      this.told.push({ keyIn: this.transactions.current()?.id });
      return key;
    },
    async repeated(this: Shop, _: CommittedOutcome, { sku }: Order) {
      await Promise.resolve();
      this.told.push({ repeatedIn: this.transactions.current()?.id });
      this.transactions.enlist(branch('stock', sku));
      return 'placed before';
    },
  })
  async placeApart({ sku }: Order): Promise<string> {
    this.transactions.enlist(branch('stock', sku));
    return `placed ${sku}`;
  }

  @DistributedTransaction()
  async placeWithin(order: Order, isHidden: boolean): Promise<string> {
    return isHidden ? this.hidden(() => this.placeApart(order)) : this.placeApart(order);
  }

  @DistributedTransaction({ propagation: 'not-supported' })
  hidden<R>(work: () => Promise<R>): Promise<R> {
    return work();
  }

  @DistributedTransaction()
  async placeTwo(one: Order, other: Order): Promise<string[]> {
    return [await this.place(one), await this.place(other)];
  }
}

interface NewOrder {
  readonly requestId: string;
  readonly sku: string;
}

@Injectable()
class Orders {
  constructor(private readonly transactions: TransactionManager) {}

  @DistributedTransaction({
    name: 'place-order',
    key: ({ requestId }: NewOrder) => requestId,
    repeated(this: Orders, { transactionId }: CommittedOutcome, { requestId }: NewOrder) {
      return { orderId: `order-of-${requestId}`, transactionId };
    },
  })
  async place({ requestId, sku }: NewOrder): Promise<{ orderId: string; transactionId: string }> {
    this.transactions.enlist(branch('stock', { sku, quantity: 1 }));
    return { orderId: `order-of-${requestId}`, transactionId: this.transactions.current()!.id };
  }
}

describe('A decorated method with a key', () => {
  const stock = new ScriptedParticipant();
  let shop: Shop;
  let orders: Orders;
  let close: () => Promise<void>;

  beforeAll(async () => {
    const module = await Test.createTestingModule({
      imports: [CoordinatorModule.forRoot()],
      providers: [Shop, Orders],
    })
      .setLogger(new LogRecorder())
      .compile();
    module.get(ParticipantRegistry).register(stock, { name: 'stock' });
    await module.init();
    shop = module.get(Shop);
    orders = module.get(Orders);
    close = () => module.close();
  });
  afterAll(() => close());

  const runs = (sku: string): number => shop.placed.filter((one) => one === sku).length;
  const failing = (order: Order): Promise<unknown> => shop.place(order).catch((error: unknown) => error);

  it('does its work once, and refuses a repeat with the outcome of the first call', async () => {
    const order = { key: 'key-1', sku: 'lamp' };
    expect(await shop.place(order)).toBe('placed lamp');
    const error = (await failing(order)) as RepeatedCallError;
    expect(error).toBeInstanceOf(RepeatedCallError);
    const { code, caller, transactionId, outcome } = error;
    expect({ code, caller }).toEqual({ code: 'DTC_REPEATED', caller: 'Shop.place' });
    expect(outcome).toEqual({ status: 'committed', transactionId, repeated: true });
    expect(runs('lamp')).toBe(1);
  });

  it('gives a repeat the value of the option repeated, outside of any transaction', async () => {
    const order = { key: 'key-2', sku: 'desk' };
    expect(await shop.placeAgain(order)).toBe('placed desk');
    expect(await shop.placeAgain(order)).toBe('placed desk before');
    expect(shop.told).toEqual([{ transactionId: expect.any(String) as unknown, inTransaction: false }]);
    expect(runs('desk')).toBe(1);
  });

  it.each([
    ['within another transaction', false],
    ['where another transaction is hidden', true],
  ])('reads the key and calls repeated outside of any transaction, also %s', async (_, isHidden) => {
    const order = { key: `key-apart-${isHidden}`, sku: 'shelf' };
    expect(await shop.placeWithin(order, isHidden)).toBe('placed shelf');
    shop.told.length = 0;
    const prepared = stock.count('prepare');
    await expect(shop.placeWithin(order, isHidden)).rejects.toBeInstanceOf(NoTransactionError);
    expect(shop.told).toEqual([{ keyIn: undefined }, { repeatedIn: undefined }]);
    expect(stock.count('prepare')).toBe(prepared);
  });

  it('gives every call the same answer, as the guide shows it', async () => {
    const order = { requestId: 'request-1', sku: 'sofa' };
    const receipt = await orders.place(order);
    expect(await orders.place(order)).toEqual(receipt);
  });

  it('tells a repeat that comes while the first call runs that its outcome is pending', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    gate = promise;
    const order = { key: 'key-3', sku: 'chair' };
    const first = shop.place(order);
    await expect.poll(() => runs('chair')).toBe(1);
    const error = (await failing(order)) as NotCommittedError;
    expect(error).toBeInstanceOf(NotCommittedError);
    expect(error.outcome).toMatchObject({ status: 'pending', repeated: true });
    resolve();
    expect(await first).toBe('placed chair');
    expect(runs('chair')).toBe(1);
  });

  it('runs anew with the key of a call that has aborted', async () => {
    const order = { key: 'key-4', sku: 'table' };
    stock.script = { prepare: { refuse: 'OUT_OF_STOCK' } };
    expect(await failing(order)).toMatchObject({ code: 'DTC_NOT_COMMITTED', outcome: { status: 'aborted' } });
    stock.script = {};
    expect(await shop.place(order)).toBe('placed table');

    const defect = { key: 'key-5', sku: 'defect' };
    for (const times of [1, 2]) {
      expect(await failing(defect)).toMatchObject({ message: 'a defect' });
      expect(runs('defect')).toBe(times);
    }
  });

  it('refuses the key of another method, and an invalid key: no method is run', async () => {
    const order = { key: 'key-6', sku: 'shelf' };
    await shop.place(order);
    await expect(shop.placeAgain(order)).rejects.toThrow(KeyReusedError);
    for (const key of ['', 'x'.repeat(201), undefined as unknown as string]) {
      const refused = await failing({ key, sku: 'shelf' });
      expect(refused).toMatchObject({ code: 'DTC_INVALID_REQUEST' });
    }
    expect(runs('shelf')).toBe(1);
  });

  it('joins a transaction without regard to its key', async () => {
    const order = { key: 'key-7', sku: 'rug' };
    expect(await shop.placeTwo(order, order)).toEqual(['placed rug', 'placed rug']);
  });
});

/** As a program may have them that was written before. */
const OPTIONS: DistributedTransactionOptions = { name: 'constant' };

describe('The options key and repeated', () => {
  it.each([
    [{ key: 'order-1' }, 'key: must be a function'],
    [{ repeated: () => 1 }, 'repeated: has no effect without key'],
    [{ propagation: 'mandatory', key: () => 'x' }, 'key'],
  ])('stop the start where they are wrong: %o', async (options, problem) => {
    class Wrong {
      @DistributedTransaction(options as { key: () => string; repeated: () => never })
      async work(): Promise<void> {}
    }
    const module = Test.createTestingModule({ imports: [CoordinatorModule.forRoot()], providers: [Wrong] })
      .setLogger(new LogRecorder())
      .compile();
    const started = module.then((compiled) => compiled.init());
    await expect(started).rejects.toThrow(InvalidOptionsError);
    await expect(started).rejects.toThrow(problem);
  });

  it('are compared with the method by the compiler', () => {
    class Compared {
      @DistributedTransaction({ key: (id: string) => id, repeated: () => 1 })
      async right(_id: string, _more: boolean): Promise<number> {
        return 1;
      }

      @DistributedTransaction(OPTIONS)
      async constant(_id: string): Promise<void> {}

      // @ts-expect-error -- the method takes no number
      @DistributedTransaction({ key: (id: number) => `${id}` })
      async wrongParameters(_id: string): Promise<number> {
        return 1;
      }

      // @ts-expect-error -- the method returns a number
      @DistributedTransaction({ key: (id: string) => id, repeated: () => 'text' })
      async wrongValue(_id: string): Promise<number> {
        return 1;
      }
    }
    expect(Object.getOwnPropertyNames(Compared.prototype)).toHaveLength(5);
  });
});
