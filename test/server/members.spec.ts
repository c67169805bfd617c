import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TransactionManager } from '../../src/client/index.js';
import { branch } from '../../src/client/index.js';
import { TransactionManager as Coordinator } from '../../src/coordinator/index.js';
import { SharedMemoryLog } from '../../src/coordinator/testing/shared-memory-log.js';
import { SharedMemoryStore } from '../../src/coordinator/testing/shared-memory-store.js';
import { clientOf } from '../client/support.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { ACCESS, TestServer } from './support.js';
import { freePort } from '../../src/postgres-server/free-port.js';

const LEASE_MS = 400;

describe('Several members behind their own addresses', () => {
  const store = new SharedMemoryStore({ now: () => performance.now() });
  let one: TestServer;
  let two: TestServer;
  let toOne: TcpProxy;
  let client: TransactionManager;

  /** Its address is that of the proxy before it. */
  async function startMember(memberAddress: string, port = 0, of = store): Promise<TestServer> {
    const log = new SharedMemoryLog(of);
    const options = {
      name: 'shop',
      log,
      leaseMs: LEASE_MS,
      memberAddress,
      completionWaitMs: 20,
      retryBaseMs: 1,
    };
    return TestServer.start({ ...options, allowMemoryLog: true }, ACCESS, {}, undefined, port);
  }

  beforeAll(async () => {
    const port = await freePort();
    toOne = await TcpProxy.open({ host: '127.0.0.1', port });
    one = await startMember(`http://127.0.0.1:${toOne.port}`, port);
    two = await startMember('http://127.0.0.1:9');
    client = clientOf([two, `http://127.0.0.1:${toOne.port}/dtc`], { giveUpAfterMs: 20_000 });
  });
  afterAll(async () => {
    client.onApplicationShutdown();
    await toOne.close();
    await Promise.all([one.close().catch(() => {}), two.close()]);
  });

  it('know the keys of each other: a repeat at another member runs nothing again', async () => {
    const branches = [{ participant: 'stock', payload: 1 }];
    const first = await one.run('a-key', branches);
    expect(first.body.status).toBe('committed');
    expect((await two.run('a-key', branches)).body).toEqual(first.body);
    expect(two.stock.calls).toEqual([]);
    const other = await two.run('a-key', []);
    expect([other.status, other.body.code]).toEqual([409, 'DTC_KEY_REUSED']);
    expect((await two.ask('GET', '')).body.isShared).toBe(true);
  });

  it('free a key after an abort, also where a member has answered before that it was open', async () => {
    const branches = [
      { participant: 'stock', payload: 1 },
      { participant: 'money', payload: 1 },
    ];
    const gate = Promise.withResolvers<void>();
    one.money.script = { prepare: { until: gate.promise, then: { refuse: 'POOR' } } };
    const first = one.run('a-key-that-is-freed', branches);
    await expect.poll(() => one.money.count('prepare')).toBeGreaterThan(0);
    const open = await two.run('a-key-that-is-freed', branches);
    expect([open.status, open.body.status]).toEqual([202, 'pending']);
    gate.resolve();
    expect((await first).body).toMatchObject({ status: 'aborted', code: 'POOR' });
    one.money.script = {};

    // The first repeat may still get the outcome of the aborted transaction.
    const repeat = async (): Promise<unknown> => (await two.run('a-key-that-is-freed', branches)).body.status;
    await expect.poll(repeat).toBe('committed');
    expect(two.money.count('prepare')).toBe(1);
  });

  it('know the keys of begun transactions of each other: a repeat elsewhere begins nothing, and says where it is', async () => {
    const id = await one.begin('begun-once');
    for (const member of [one, two]) {
      const { status, body, headers } = await member.ask('POST', '/transactions', {
        key: 'begun-once',
        body: {},
      });
      expect([status, body]).toMatchObject([201, { transactionId: id, repeated: true }]);
      // Its answer to a lost one leads to the owner, with every later request.
      expect(headers.get('location')).toBe(`http://127.0.0.1:${toOne.port}/dtc/transactions/${id}`);
    }
    expect(two.app.get(Coordinator).find(id)).toBeUndefined();
    const enlisted = await one.enlist(id, 'stock', 'x');
    expect(enlisted.status).toBe(200);
    expect((await one.ask('POST', `/transactions/${id}/commit`)).body.status).toBe('committed');
    const other = await two.ask('POST', '/transactions', { key: 'begun-once', body: { name: 'other' } });
    expect([other.status, other.body.code]).toEqual([409, 'DTC_KEY_REUSED']);
    const asRun = await two.run('begun-once', []);
    expect([asRun.status, asRun.body.code]).toEqual([409, 'DTC_KEY_REUSED']);
  });

  it('never answer for a live transaction of another one, also where members ask each other for outcomes', async () => {
    const id = await one.begin('asked-elsewhere');
    const asking = two.app.get(Coordinator);
    const alone = asking.outcomeOf.bind(asking);
    asking.outcomeOf = (transactionId) => Promise.resolve({ transactionId, status: 'pending' });
    const { status, body } = await two.ask('POST', `/transactions/${id}/commit`);
    asking.outcomeOf = alone;
    expect([status, body.code]).toEqual([409, 'DTC_OTHER_MEMBER']);
    expect((await one.ask('GET', `/transactions/${id}`)).body.view.state).toBe('ACTIVE');
    await one.ask('POST', `/transactions/${id}/rollback`);
  });

  it('say which member owns a transaction that was begun step by step, and the client goes there', async () => {
    const id = await one.begin('stepwise');
    const { epoch } = (await one.ask('GET', '')).body;
    for (const path of ['commit', 'rollback', 'rollback-only']) {
      const { status, body } = await two.ask('POST', `/transactions/${id}/${path}`);
      expect([status, body.code, body.member]).toEqual([
        409,
        'DTC_OTHER_MEMBER',
        { epoch, address: `http://127.0.0.1:${toOne.port}` },
      ]);
    }
    expect((await two.enlist(id, 'stock', 'x')).body.code).toBe('DTC_OTHER_MEMBER');
    expect((await two.ask('GET', `/transactions/${id}`)).body.status).toBe('elsewhere');

    const joined = client.join(id);
    await joined.enlist(branch('stock', 2));
    expect(await joined.commit()).toEqual({ status: 'committed', transactionId: id });
    expect(one.stock.effects.size).toBeGreaterThan(0);
  });

  it('are not mistaken for the members of another coordinator', async () => {
    const elsewhere = new SharedMemoryStore({ now: () => performance.now() });
    const stranger = await startMember('http://127.0.0.1:9', 0, elsewhere);
    const mixed = clientOf([`http://127.0.0.1:${toOne.port}/dtc`, stranger], { giveUpAfterMs: 200 });
    await mixed.run({ branches: [] });
    toOne.cut();
    await expect(mixed.run({ branches: [branch('stock', 5)] })).rejects.toMatchObject({
      code: expect.stringMatching(/UNREACHABLE|UNKNOWN/) as unknown,
    });
    toOne.repair();
    expect(stranger.stock.calls).toEqual([]);
    mixed.onApplicationShutdown();
    await stranger.close();
  });

  it('give the outcome of a member that is gone, where its answer was lost', async () => {
    const id = await one.begin('the-last-one');
    const transaction = client.join(id);
    await transaction.enlist(branch('stock', 3));
    // Every answer is lost from here on.
    toOne.rule = (data, direction) =>
      direction === 'up' && data.includes('/commit') ? 'cut-answer' : 'pass';
    const asked = transaction.commit();
    await closing(one, toOne, id);
    expect(await asked).toEqual({ status: 'committed', transactionId: id });

    const before = two.stock.count('prepare') + two.stock.count('commitOnePhase');
    expect((await client.run({ branches: [branch('stock', 4)] })).status).toBe('committed');
    expect(two.stock.count('prepare') + two.stock.count('commitOnePhase')).toBe(before + 1);
  });
});

/** The member commits, and is gone before any answer has left. */
async function closing(member: TestServer, proxy: TcpProxy, id: string): Promise<void> {
  for (let known = 'pending'; known === 'pending';)
    known = (await member.ask('GET', `/transactions/${id}`)).body.status;
  proxy.cut();
  await member.close();
}
