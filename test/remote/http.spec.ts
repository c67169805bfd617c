import type { INestApplicationContext } from '@nestjs/common';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Outcome, TransactionManager, branch } from '../../src/coordinator/index.js';
import { ParticipantHost, refuse } from '../../src/host/index.js';
import { HttpTransport, RemoteParticipants } from '../../src/remote/index.js';
import { HttpProxy } from './support/http-proxy.js';
import { Books, ledgerOf } from './support/ledger.js';
import { type Host, TOKEN, startCoordinator, startHost } from './support/services.js';

describe.each(['express', 'fastify'] as const)('Participants behind HTTP on %s', (platform) => {
  const books = { stock: new Books(), payment: new Books() };
  let hosts: Host[] = [];
  let coordinator: INestApplicationContext;
  let transactions: TransactionManager;

  beforeEach(async () => {
    if (hosts.length === 0) {
      hosts = await Promise.all([
        startHost([ledgerOf('stock', books.stock)], { platform }),
        startHost([ledgerOf('payment', books.payment)], { platform }),
      ]);
      const [stock, payment] = hosts;
      coordinator = await startCoordinator({
        participants: [
          { name: 'stock', address: stock!.address },
          { name: 'payment', address: payment!.address },
        ],
      });
      transactions = coordinator.get(TransactionManager);
    }
  });
  afterEach(() => {
    for (const { scripts, calls } of Object.values(books)) {
      calls.length = 0;
      for (const name of ['prepare', 'commit', 'rollback'] as const) delete scripts[name];
    }
  });
  afterAll(async () => {
    await coordinator.close();
    await Promise.all(hosts.map(({ app }) => app.close()));
  });

  const order = (amount: number): Promise<Outcome> =>
    transactions.run({ branches: [branch('stock', { amount }), branch('payment', { amount })] });

  it('commit together', async () => {
    expect(await order(5)).toMatchObject({ status: 'committed' });
    expect([books.stock.balance, books.payment.balance]).toEqual([5, 5]);
  });

  it('pass on for how long a vote holds, and abort together when it has expired', async () => {
    books.payment.scripts.prepare = () => ({ vote: 'commit', validForMs: 60_000 });
    const before = Date.now();
    const { transactionId } = await order(0);
    const [stock, payment] = transactions.find(transactionId)!.branches;
    expect(stock!.expiresAt).toBeUndefined();
    const validUntil = Date.parse(payment!.expiresAt!);
    expect(validUntil).toBeGreaterThanOrEqual(before + 59_000);
    expect(validUntil).toBeLessThanOrEqual(Date.now() + 61_000);

    books.payment.scripts.prepare = () => ({ vote: 'commit', validForMs: 1 });
    expect(await order(0)).toMatchObject({ status: 'aborted', cause: 'expired', participant: 'payment' });
    await expect.poll(() => books.stock.prepared.size).toBe(0);
  });

  it('abort together when one refuses, with its code and its reason', async () => {
    books.payment.scripts.prepare = () => refuse('NO_FUNDS', 'nothing left', { temporary: true });
    expect(await order(7)).toMatchObject({
      status: 'aborted',
      participant: 'payment',
      code: 'NO_FUNDS',
      reason: 'nothing left',
      temporary: true,
    });
    await expect.poll(() => books.stock.prepared.size).toBe(0);
    expect([books.stock.balance, books.payment.balance]).toEqual([5, 5]);
  });

  it('commit a single branch in one phase', async () => {
    expect(await transactions.run({ branches: [branch('stock', { amount: 2 })] })).toMatchObject({
      status: 'committed',
    });
    expect(books.stock.balance).toBe(7);
    expect(books.stock.calls).toEqual(['prepare', 'commit']);
  });

  it('take the calls of many transactions in few messages', async () => {
    const before = books.stock.balance;
    const outcomes = await Promise.all(Array.from({ length: 200 }, () => order(1)));
    expect(new Set(outcomes.map(({ status }) => status))).toEqual(new Set(['committed']));
    expect(books.stock.balance).toBe(before + 200);
    const { counts, atWork } = hosts[0]!.app.get(ParticipantHost).view();
    expect(atWork).toBe(0);
    expect(
      counts.find(({ method, answer }) => method === 'commit' && answer === 'done')!.calls,
    ).toBeGreaterThan(200);
  });

  it('refuse a payload that cannot be sent, before anything is enlisted, with the path of the field', async () => {
    const bad = { amount: 1, items: [{ at: new Date() }] };
    await expect(transactions.run({ branches: [branch('stock', bad)] })).rejects.toMatchObject({
      code: 'DTC_INVALID_REQUEST',
      field: 'payload.items[0].at',
    });
    const transaction = transactions.begin();
    expect(() => transaction.enlist(branch('stock', { amount: 1n }))).toThrow('payload.amount is a bigint');
    expect(transaction.enlist(branch('stock', { amount: 1 }))).toBe('stock');
    await transaction.rollback();
  });

  it('refuse every caller without a token, and do nothing for it', async () => {
    const { address } = hosts[0]!;
    for (const headers of [{}, { Authorization: 'Bearer a-wrong-token-of-16' }, { Authorization: TOKEN }]) {
      const answer = await fetch(`${address}/calls`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', ...(headers as Record<string, string>) },
        body: '{}',
      });
      expect(answer.status).toBe(401);
      expect(await answer.json()).toMatchObject({ code: 'DTC_UNAUTHENTICATED' });
    }
    expect((await fetch(`${address}/branches/stock`)).status).toBe(401);
    expect((await fetch(`${address}/metrics`)).status).toBe(401);
  });

  it('answer nonsense with 400, and probes with the state of the host', async () => {
    const { address } = hosts[0]!;
    const authorized = { Authorization: `Bearer ${TOKEN}`, 'Content-Type': 'application/json' };
    const answer = await fetch(`${address}/calls`, {
      method: 'POST',
      headers: authorized,
      body: '{"version":1}',
    });
    expect([answer.status, await answer.json()]).toMatchObject([400, { code: 'DTC_WIRE_INVALID' }]);
    const health = await fetch(`${address}/health`);
    expect([health.status, await health.json()]).toEqual([200, { status: 'serving' }]);
    const branches = await fetch(`${address}/branches/stock`, { headers: authorized });
    expect([branches.status, await branches.json()]).toEqual([200, { branches: [] }]);
    expect((await fetch(`${address}/branches/nothing`, { headers: authorized })).status).toBe(404);
  });

  it('are shown with their addresses', () => {
    const list = coordinator.get(RemoteParticipants).list();
    // The coordinator may list their branches at this moment.
    expect(list.map(({ name, address, origin, queued }) => ({ name, address, origin, queued }))).toEqual(
      ['stock', 'payment'].map((name, index) => {
        return { name, address: hosts[index]!.address, origin: 'configured', queued: 0 };
      }),
    );
  });
});

describe('The connections to a participant', () => {
  it('carry its decisions while its prepares hang', async () => {
    const books = { stock: new Books(), payment: new Books() };
    const hosts = await Promise.all([
      startHost([ledgerOf('stock', books.stock)]),
      startHost([ledgerOf('payment', books.payment)]),
    ]);
    const proxy = await HttpProxy.open([hosts[0].address]);
    const participants = [
      { name: 'stock', address: proxy.address },
      { name: 'payment', address: hosts[1].address },
    ];
    const coordinator = await startCoordinator(
      { participants, maxConnections: 1 },
      { prepareTimeoutMs: 20_000 },
    );
    const transactions = coordinator.get(TransactionManager);
    const branches = [branch('stock', { amount: 1 }), branch('payment', { amount: 1 })];
    const gate = Promise.withResolvers<undefined>();
    books.payment.scripts.prepare = () => gate.promise;
    const first = transactions.run({ branches });
    await expect.poll(() => books.payment.of('prepare') + books.stock.of('prepare')).toBe(2);
    proxy.rule = ({ calls }) => (calls.some(({ method }) => method === 'prepare') ? 'hang' : 'pass');
    const prepares = proxy.seen.filter((method) => method === 'prepare').length;
    const second = transactions.run({ branches });
    await expect.poll(() => proxy.seen.filter((method) => method === 'prepare').length).toBe(prepares + 1);
    gate.resolve(undefined);
    await expect.poll(() => books.stock.balance).toBe(1);
    expect(await first).toMatchObject({ status: 'committed' });
    await proxy.close();
    expect(await second).toMatchObject({ status: 'aborted' });
    await coordinator.close();
    await Promise.all(hosts.map(({ app }) => app.close()));
  });

  it('end when a host gives far more answers than there are calls', async () => {
    const proxy = await HttpProxy.open([]);
    const headers = { 'content-type': 'application/x-ndjson' };
    proxy.rule = () => ({ status: 200, headers, body: '{}\n'.repeat(1_000) });
    const transport = new HttpTransport(proxy.address, { credentials: TOKEN });
    let answers = 0;
    const sent = transport.send('{"calls":[]}', () => answers++, 1_000);
    await expect(sent).rejects.toThrow('it has more than 512 answers to one message');
    expect(answers).toBe(512);
    transport.close();
    await proxy.close();
  });

  it('show the refusal of a host as one line without control characters', async () => {
    const proxy = await HttpProxy.open([]);
    const problem = { code: 'DTC_\u001b[2K', detail: 'no\nLOG forged' };
    proxy.rule = () => ({ status: 400, body: JSON.stringify(problem) });
    const transport = new HttpTransport(proxy.address, { credentials: TOKEN });
    await expect(transport.send('{"calls":[]}', () => {}, 1_000)).rejects.toThrow(
      '400, DTC_\\u001b[2K: no\\u000aLOG forged',
    );
    transport.close();
    await proxy.close();
  });
});
