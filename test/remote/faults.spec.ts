import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { INestApplicationContext } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Outcome, TransactionManager, branch } from '../../src/coordinator/index.js';
import { MemoryReplicaGuardStore, ParticipantHost } from '../../src/host/index.js';
import { HttpProxy, type Verdict } from './support/http-proxy.js';
import { Books, ledgerOf } from './support/ledger.js';
import { type Host, startCoordinator, startHost } from './support/services.js';

/** Long enough for a sound prepare on a busy machine. */
const PREPARE_MS = 400;
const NDJSON = { 'Content-Type': 'application/x-ndjson' };

/** Two replicas of the stock behind a proxy that can do everything, and a sound payment. */
describe('A network that loses, repeats, delays, cuts and reorders', () => {
  const stock = new Books();
  const payment = new Books();
  let hosts: Host[];
  let proxy: HttpProxy;
  let coordinator: INestApplicationContext;
  let transactions: TransactionManager;

  beforeAll(async () => {
    const guard = new MemoryReplicaGuardStore();
    hosts = await Promise.all([
      startHost([ledgerOf('stock', stock)], { guard }),
      startHost([ledgerOf('stock', stock)], { guard }),
      startHost([ledgerOf('payment', payment)]),
    ]);
    proxy = await HttpProxy.open(hosts.slice(0, 2).map(({ address }) => address));
    const limits = { prepareTimeoutMs: PREPARE_MS, completionTimeoutMs: PREPARE_MS, maxAttempts: 100 };
    coordinator = await startCoordinator(
      {
        participants: [
          { name: 'stock', address: proxy.address, ...limits },
          { name: 'payment', address: hosts[2]!.address, ...limits, prepareTimeoutMs: 10_000 },
        ],
      },
      { retryBaseMs: 10, retryCapMs: 40, recoveryIntervalMs: 100 },
    );
    transactions = coordinator.get(TransactionManager);
  });
  afterAll(async () => {
    await coordinator.close();
    await proxy.close();
    await Promise.all(hosts.map(({ app }) => app.close()));
  });

  let balances: [number, number];
  beforeEach(() => {
    balances = [stock.balance, payment.balance];
    stock.calls.length = 0;
    proxy.seen.length = 0;
  });
  afterEach(async () => {
    proxy.rule = () => 'pass';
    delete stock.scripts.prepare;
    await proxy.quiet();
    // In every case both have the money, or neither.
    await expect.poll(() => [stock.prepared.size, payment.prepared.size]).toEqual([0, 0]);
    expect(stock.balance - balances[0]).toBe(payment.balance - balances[1]);
  });

  /** The first messages with this call get these verdicts, and all others pass. */
  function script(method: string, ...verdicts: Verdict[]): void {
    proxy.rule = ({ calls }) =>
      (calls.some((call) => call.method === method) ? verdicts.shift() : undefined) ?? 'pass';
  }

  /** The rollbacks that the replicas have acknowledged. */
  const rolledBack = (): number =>
    hosts
      .flatMap(({ app }) => app.get(ParticipantHost).view().counts)
      .filter(
        ({ participant, method, answer }) => `${participant} ${method} ${answer}` === 'stock rollback done',
      )
      .reduce((sum, { calls }) => sum + calls, 0);

  const order = (manager = transactions): Promise<Outcome> =>
    manager.run({ branches: [branch('stock', { amount: 1 }), branch('payment', { amount: 1 })] });

  async function expectAborted(outcome: Promise<Outcome>): Promise<void> {
    expect(await outcome).toMatchObject({ status: 'aborted', participant: 'stock' });
    await expect
      .poll(() => stock.of('rollback') + proxy.seen.filter((method) => method === 'rollback').length)
      .toBeGreaterThan(0);
  }

  it('fault 8: a lost prepare aborts, and its participant is rolled back too', async () => {
    script('prepare', 'lose');
    await expectAborted(order());
    await expect.poll(() => proxy.seen).toContain('rollback');
    expect(stock.of('prepare')).toBe(0);
  });

  it('fault 9: a prepare that arrives at both replicas has one effect and one vote', async () => {
    // It waits longer than a busy machine needs for both.
    const patient = await startCoordinator(
      {
        participants: [
          { name: 'stock', address: proxy.address, prepareTimeoutMs: 20_000, completionTimeoutMs: 20_000 },
          {
            name: 'payment',
            address: hosts[2]!.address,
            prepareTimeoutMs: 20_000,
            completionTimeoutMs: 20_000,
          },
        ],
      },
      { name: 'patient', completionWaitMs: 20_000 },
    );
    script('prepare', 'repeat');
    expect(await order(patient.get(TransactionManager))).toMatchObject({ status: 'committed' });
    expect(stock.calls).toEqual(['prepare', 'commit']);
    await patient.close();
  });

  it('fault 10: a prepare that arrives after its rollback is refused', async () => {
    const late = Promise.withResolvers<void>();
    const before = rolledBack();
    script('prepare', { after: late.promise });
    await expectAborted(order());
    await expect.poll(rolledBack).toBeGreaterThan(before);
    late.resolve();
    await proxy.quiet();
    expect(stock.of('prepare')).toBe(0);
  });

  it('fault 11: a rollback of a branch that never prepared undoes nothing, also when it is repeated', async () => {
    proxy.rule = ({ calls }) => {
      if (calls.some(({ method }) => method === 'prepare')) return 'lose';
      return calls.some(({ method }) => method === 'rollback') ? 'repeat' : 'pass';
    };
    await expectAborted(order());
    await proxy.quiet();
    expect(stock.calls).toEqual([]);
  });

  it('fault 13 and 17: a lost vote aborts, and the prepared branch is rolled back', async () => {
    script('prepare', 'lose-answer');
    await expectAborted(order());
    await expect.poll(() => stock.calls).toEqual(['prepare', 'rollback']);
  });

  it('fault 18: a yes that comes after the abort is ignored, and the branch is rolled back', async () => {
    const late = Promise.withResolvers<void>();
    script('prepare', { answerAfter: late.promise });
    await expectAborted(order());
    late.resolve();
    await expect.poll(() => stock.calls).toEqual(['prepare', 'rollback']);
  });

  it.each<[what: string, verdict: Verdict]>([
    ['500', { status: 500, body: '{"id":0,"kind":"vote","vote":"commit"}\n', headers: NDJSON }],
    [
      '200 with a page',
      {
        status: 200,
        headers: { 'Content-Type': 'text/html' },
        body: '{"id":0,"kind":"vote","vote":"commit"}\n',
      },
    ],
    ['no JSON', { status: 200, headers: NDJSON, body: 'commit\n' }],
    ['no vote', { status: 200, headers: NDJSON, body: '{"id":0,"kind":"vote","vote":"yes"}\n' }],
    ['an answer to a commit', { status: 200, headers: NDJSON, body: '{"id":0,"kind":"done"}\n' }],
    [
      'an answer to another call',
      { status: 200, headers: NDJSON, body: '{"id":7,"kind":"vote","vote":"commit"}\n' },
    ],
    ['half an answer', { status: 200, headers: NDJSON, body: '{"id":0,"kind":"vote","vote":"commit"}' }],
    ['no answer', { status: 200, headers: NDJSON, body: '' }],
    ['a very long line', { status: 200, headers: NDJSON, body: 'x'.repeat(300_000) }],
  ])('fault 19: %s is not a yes', async (_what, verdict) => {
    script('prepare', verdict);
    await expectAborted(order());
    expect(stock.of('prepare')).toBe(0);
  });

  it('fault 19: the first of two answers to one call counts', async () => {
    const lines =
      '{"id":0,"kind":"vote","vote":{"vote":"abort","code":"NO","reason":"first"}}\n{"id":0,"kind":"vote","vote":"commit"}\n';
    script('prepare', { status: 200, headers: NDJSON, body: lines });
    expect(await order()).toMatchObject({ status: 'aborted', code: 'NO', reason: 'first' });
  });

  it('fault 19: a redirect is not followed, and the token goes nowhere else', async () => {
    const visits: (string | undefined)[] = [];
    const elsewhere = createServer((request, response) => {
      visits.push(request.headers.authorization);
      response.writeHead(200, NDJSON).end('{"id":0,"kind":"vote","vote":"commit"}\n');
    });
    elsewhere.listen(0, '127.0.0.1');
    await once(elsewhere, 'listening');
    const Location = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/`;
    for (const status of [301, 302, 303, 307, 308]) {
      script('prepare', { status, headers: { ...NDJSON, Location }, body: '' });
      await expectAborted(order());
    }
    expect(visits).toEqual([]);
    elsewhere.close();
    await once(elsewhere, 'close');
  });

  it('faults 35 and 44: a commit that is lost, or whose answer is lost, is delivered again and has one effect', async () => {
    const answers = [
      '{"id":0,"kind":"try-again","reason":"busy"}\n',
      '{"id":0,"kind":"error","reason":"full"}\n',
    ];
    const refusals = answers.map((body) => ({ status: 200, headers: NDJSON, body }));
    script('commit', ...refusals, 'lose', 'lose-answer', 'repeat');
    expect(['committed', 'pending']).toContain((await order()).status);
    await expect.poll(() => stock.balance - balances[0]).toBe(1);
    await expect.poll(() => proxy.seen.filter((method) => method === 'commit').length).toBe(5);
    expect(stock.of('commit')).toBe(1);
  });

  it('fault 35: a commit that is overtaken by its repeat has one effect', async () => {
    const repeated = Promise.withResolvers<void>();
    let commits = 0;
    proxy.rule = ({ calls }) => {
      if (!calls.some(({ method }) => method === 'commit')) return 'pass';
      return ++commits === 1 ? { after: repeated.promise } : 'pass';
    };
    await order();
    await expect.poll(() => stock.balance - balances[0]).toBe(1);
    repeated.resolve();
    await proxy.quiet();
    expect(stock.of('commit')).toBe(1);
  });

  it('fault 7: the answer to a one-phase commit is asked for again, and is the same at the other replica', async () => {
    script('commitOnePhase', 'lose-answer', 'lose-answer');
    const outcome = await transactions.run({ branches: [branch('stock', { amount: 1 })], timeoutMs: 5_000 });
    expect(outcome).toMatchObject({ status: 'committed' });
    expect(stock.calls).toEqual(['prepare', 'commit']);
    // The other one has to have the same in the end.
    await transactions.run({ branches: [branch('payment', { amount: 1 })] });
  });

  it('fault 16: a host that hangs does not delay transactions without it', async () => {
    proxy.rule = ({ calls }) => (calls.some(({ method }) => method === 'prepare') ? 'hang' : 'pass');
    const hanging = Promise.all(Array.from({ length: 50 }, () => order()));
    const startedAt = performance.now();
    const posts = Array.from({ length: 100 }, (_, amount) =>
      transactions.run({ branches: [branch('payment', { amount }), branch('payment', { amount: -amount })] }),
    );
    const statuses = (await Promise.all(posts)).map(({ status }) => status);
    expect(new Set(statuses)).toEqual(new Set(['committed']));
    expect(performance.now() - startedAt).toBeLessThan(10 * PREPARE_MS);
    expect(new Set((await hanging).map(({ status }) => status))).toEqual(new Set(['aborted']));
  });

  it('fault 14: a replica that is still at work when its branch is rolled back at the other one undoes its work', async () => {
    const slow = Promise.withResolvers<void>();
    stock.scripts.prepare = () => slow.promise.then(() => undefined);
    const outcome = order();
    await expectAborted(outcome);
    // The rollback comes to the other replica, which leaves the branch to the first until its time is up.
    await new Promise((resolve) => setTimeout(resolve, 2 * PREPARE_MS));
    slow.resolve();
    await expect.poll(() => stock.of('rollback')).toBeGreaterThan(0);
  });
});
