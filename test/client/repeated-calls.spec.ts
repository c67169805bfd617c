import { type INestApplicationContext, Injectable } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  CoordinatorRefusedError,
  DistributedTransaction,
  InvalidRequestError,
  NotCommittedError,
  RepeatedCallError,
  TransactionClientModule,
  TransactionManager,
  branch,
} from '../../src/client/index.js';
import { SharedMemoryLog } from '../../src/coordinator/testing/shared-memory-log.js';
import { SharedMemoryStore } from '../../src/coordinator/testing/shared-memory-store.js';
import { LogRecorder } from '../library/support/log-recorder.js';
import { CALLER, TestServer } from '../server/support.js';

@Injectable()
class Shop {
  readonly placed: string[] = [];

  constructor(readonly transactions: TransactionManager) {}

  @DistributedTransaction({ name: 'place', key: (key: string) => key })
  async place(_key: string, sku: string): Promise<string> {
    this.placed.push(sku);
    await this.transactions.enlist(branch('stock', sku));
    return `placed ${sku}`;
  }

  @DistributedTransaction({
    name: 'place',
    key: (key: string) => key,
    repeated: async ({ transactionId }) => `before, by ${transactionId}`,
  })
  async placeAgain(_key: string, sku: string): Promise<string> {
    this.placed.push(sku);
    await this.transactions.enlist(branch('stock', sku));
    return `placed ${sku}`;
  }
}

/** A service whose coordinator is reached at this address. */
async function serviceAt({ url }: TestServer): Promise<{ app: INestApplicationContext; shop: Shop }> {
  const members = [`${url}/dtc`];
  const app = await Test.createTestingModule({
    imports: [TransactionClientModule.forRoot({ members, token: CALLER.token, giveUpAfterMs: 5_000 })],
    providers: [Shop],
  })
    .setLogger(new LogRecorder())
    .compile();
  await app.init();
  return { app, shop: app.get(Shop) };
}

describe.each(['one coordinator', 'two members of one log'])('A method with a key at %s', (kind) => {
  const isShared = kind !== 'one coordinator';
  const store = new SharedMemoryStore({ now: () => performance.now() });
  const start = (): Promise<TestServer> =>
    TestServer.start(
      isShared
        ? { name: 'shop', log: new SharedMemoryLog(store), allowMemoryLog: true, completionWaitMs: 20 }
        : { name: 'shop', completionWaitMs: 20 },
    );
  let servers: TestServer[];
  let services: Awaited<ReturnType<typeof serviceAt>>[];
  let [one, two]: Shop[] = [];

  beforeAll(async () => {
    const first = await start();
    servers = isShared ? [first, await start()] : [first];
    services = [await serviceAt(first), await serviceAt(servers.at(-1)!)];
    [one, two] = services.map(({ shop }) => shop);
  });
  afterAll(async () => {
    await Promise.all(services.map(({ app }) => app.close()));
    await Promise.all(servers.map((server) => server.close()));
  });

  const failing = (call: Promise<unknown>): Promise<unknown> => call.catch((error: unknown) => error);
  const runs = (sku: string): number =>
    [...one!.placed, ...two!.placed].filter((each) => each === sku).length;
  const refuse = (isRefusing: boolean): void => {
    for (const { stock } of servers) stock.script = isRefusing ? { prepare: { refuse: 'OUT_OF_STOCK' } } : {};
  };

  it('is run once, whichever service repeats the call', async () => {
    expect(await one!.place('lamp-1', 'lamp')).toBe('placed lamp');
    const errors = [await failing(one!.place('lamp-1', 'lamp')), await failing(two!.place('lamp-1', 'lamp'))];
    for (const error of errors) {
      expect(error).toBeInstanceOf(RepeatedCallError);
      expect(error).toMatchObject({ outcome: { status: 'committed', repeated: true } });
    }
    const { transactionId } = errors[0] as RepeatedCallError;
    expect(await two!.placeAgain('lamp-1', 'lamp')).toBe(`before, by ${transactionId}`);
    expect(runs('lamp')).toBe(1);
  });

  it('gets pending while the first call is open', async () => {
    const options = { name: 'place', prepareInTurn: false };
    const first = await one!.transactions.beginOnce({ ...options, key: 'desk-1' });
    expect(first.transaction?.state).toBe('ACTIVE');
    const error = await failing(two!.place('desk-1', 'desk'));
    expect(error).toBeInstanceOf(NotCommittedError);
    expect(error).toMatchObject({ outcome: { status: 'pending', transactionId: first.transaction!.id } });
    await first.transaction!.enlist(branch('stock', 'desk'));
    expect((await first.transaction!.commit()).status).toBe('committed');
    expect(await failing(two!.place('desk-1', 'desk'))).toBeInstanceOf(RepeatedCallError);
    expect(runs('desk')).toBe(0);
  });

  it('is run again with the key of a call that has aborted', async () => {
    refuse(true);
    expect(await failing(one!.place('chair-1', 'chair'))).toMatchObject({ outcome: { status: 'aborted' } });
    refuse(false);
    await expect.poll(() => failing(two!.place('chair-1', 'chair'))).toBe('placed chair');
    expect(await failing(one!.place('chair-1', 'chair'))).toBeInstanceOf(RepeatedCallError);
    expect(runs('chair')).toBe(2);
  });

  it('is refused with an invalid key, and with the key of another request, and is not run', async () => {
    for (const key of ['', 'two words', 'x'.repeat(129)])
      expect(await failing(one!.place(key, 'rug'))).toBeInstanceOf(InvalidRequestError);
    await one!.transactions.run({ key: 'rug-1', branches: [] });
    const error = (await failing(one!.place('rug-1', 'rug'))) as CoordinatorRefusedError;
    expect([error.code, error.status]).toEqual(['DTC_KEY_REUSED', 409]);
    await one!.place('rug-2', 'rug');
    const other = await failing(one!.transactions.beginOnce({ key: 'rug-2', name: 'other' }));
    expect(other).toMatchObject({ code: 'DTC_KEY_REUSED', status: 409 });
  });

  it('has a transaction that is begun as before without a key', async () => {
    const begun = await one!.transactions.begin();
    expect((await begun.commit()).status).toBe('committed');
  });

  it('tells a caller without a library whether its transaction was begun before, and its outcome', async () => {
    const [server] = servers;
    const ask = async (): Promise<unknown> =>
      (await server!.ask('POST', '/transactions', { key: 'by-hand', body: {} })).body;
    const transactionId = await server!.begin('by-hand');
    expect(await ask()).toMatchObject({ transactionId, repeated: true, outcome: { status: 'pending' } });
    await server!.ask('POST', `/transactions/${transactionId}/commit`);
    const outcome = { status: 'committed', transactionId };
    expect(await ask()).toEqual({ transactionId, repeated: true, outcome });
  });
});
