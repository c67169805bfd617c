import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { TransactionManager } from '../../src/coordinator/index.js';
import { PLATFORMS } from '../library/support/platforms.js';
import { OTHER_CALLER, PARTICIPANT, READER, TestServer } from './support.js';

let keys = 0;
const newKey = (): string => `key-${++keys}`;

describe.each(PLATFORMS)('Transactions over HTTP on %s', (_name, platform) => {
  let server: TestServer;

  beforeAll(async () => {
    server = await TestServer.start({ retryBaseMs: 1, completionWaitMs: 20 }, undefined, {}, platform);
  });
  afterAll(() => server.close());
  afterEach(() => {
    server.stock.script = {};
    server.money.script = {};
  });

  const branches = [
    { participant: 'stock', payload: { sku: 'lamp', quantity: 1 } },
    { participant: 'money', payload: { amount: 300 } },
  ];

  it('runs a transaction and answers with its outcome', async () => {
    const { status, body } = await server.run(newKey(), branches, { name: 'order' });

    expect([status, body]).toEqual([200, { status: 'committed', transactionId: body.transactionId }]);
    expect(server.stock.effectOn(body.transactionId, 'stock')).toBe('committed');
    expect(server.stock.calls.at(-1)?.branch.payload).toEqual({ sku: 'lamp', quantity: 1 });
  });

  it('answers a refusal as an outcome, with its code and reason', async () => {
    server.money.script = { prepare: { refuse: 'INSUFFICIENT_FUNDS', reason: 'the balance is 200' } };
    const { status, body } = await server.run(newKey(), branches);

    expect(status).toBe(200);
    expect(body).toEqual({
      status: 'aborted',
      transactionId: body.transactionId,
      cause: 'refused',
      participant: 'money',
      branchId: 'money',
      code: 'INSUFFICIENT_FUNDS',
      reason: 'the balance is 200',
    });
  });

  it('tells nothing of the error of a participant', async () => {
    server.money.script = { prepare: 'throw' };
    const { body } = await server.run(newKey(), branches);
    expect(body).toMatchObject({ status: 'aborted', cause: 'failed' });
    expect(body).not.toHaveProperty('error');
  });

  it('gives a repeated request the answer of the first one, and does nothing twice', async () => {
    const key = newKey();
    const first = await server.run(key, branches);
    const calls = server.stock.calls.length;
    const [second, third] = await Promise.all([
      server.run(key, branches),
      // The order of fields makes no other request.
      server.run(
        key,
        branches.map(({ participant, payload }) => ({ payload, participant })),
      ),
    ]);

    expect([second.body, third.body]).toEqual([first.body, first.body]);
    expect(server.stock.calls).toHaveLength(calls);
  });

  it('gives a repeat that comes while the first one runs the same answer', async () => {
    const key = newKey();
    const gate = Promise.withResolvers<void>();
    server.money.script = { prepare: { until: gate.promise } };
    const before = server.stock.count('prepare');
    const both = [server.run(key, branches), server.run(key, branches)];
    await delay(20);
    gate.resolve();
    const [first, second] = await Promise.all(both);

    expect(first!.body.status).toBe('committed');
    expect(second!.body).toEqual(first!.body);
    expect(server.stock.count('prepare')).toBe(before + 1);
  });

  it('goes on when the caller goes away, and tells it the outcome when it asks again', async () => {
    const key = newKey();
    const gate = Promise.withResolvers<void>();
    server.money.script = { prepare: { until: gate.promise } };
    const before = server.money.count('prepare');
    const leaving = new AbortController();
    const lost = fetch(`${server.url}/dtc/run`, {
      method: 'POST',
      headers: {
        authorization: 'Bearer the-token-of-the-shop',
        'idempotency-key': key,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ branches }),
      signal: leaving.signal,
    });
    while (server.money.count('prepare') === before) await delay(1);
    leaving.abort();
    await expect(lost).rejects.toThrow('aborted');
    gate.resolve();

    const { body } = await server.run(key, branches);
    expect(body.status).toBe('committed');
    expect(server.money.count('prepare')).toBe(before + 1);
  });

  it('frees a key whose outcome was open, when the transaction is aborted', async () => {
    const key = newKey();
    const transactions = server.app.get(TransactionManager);
    const run = vi.spyOn(transactions, 'run').mockImplementationOnce(async () => {
      const transaction = transactions.begin();
      await transaction.rollback();
      return { status: 'pending', transactionId: transaction.id, decision: 'unknown', reason: 'asked later' };
    });

    expect((await server.run(key, branches)).body.status).toBe('aborted');
    run.mockRestore();
    expect((await server.run(key, branches)).body.status).toBe('committed');
  });

  it('refuses a key that belongs to another request', async () => {
    const key = newKey();
    await server.run(key, branches);
    const { status, body } = await server.run(key, [branches[0]!]);
    expect([status, body.code]).toEqual([409, 'DTC_KEY_REUSED']);
  });

  it('keeps the keys of one caller apart from those of another', async () => {
    const key = newKey();
    const first = await server.run(key, branches);
    const other = await server.ask('POST', '/run', {
      key,
      body: { branches: [] },
      token: OTHER_CALLER.token,
    });
    expect(other.body.status).toBe('committed');
    expect(other.body.transactionId).not.toBe(first.body.transactionId);
  });

  it('tries again under the same key after an abort and after a refusal', async () => {
    const key = newKey();
    server.money.script = { prepare: ['no', 'yes'] };
    expect((await server.run(key, branches)).body.status).toBe('aborted');
    expect((await server.run(key, branches)).body.status).toBe('committed');

    const unknown = await server.run(newKey(), [{ participant: 'nowhere', payload: null }]);
    expect([unknown.status, unknown.body.code]).toEqual([503, 'DTC_UNKNOWN_PARTICIPANT']);
  });

  it('answers 202 while a participant has yet to acknowledge, and tells the outcome to a repeat', async () => {
    const key = newKey();
    const gate = Promise.withResolvers<void>();
    server.money.script = { commit: { until: gate.promise } };
    const { status, body } = await server.run(key, branches);
    expect([status, body]).toEqual([202, expect.objectContaining({ status: 'pending', decision: 'commit' })]);

    gate.resolve();
    let repeat = await server.run(key, branches);
    while (repeat.status === 202) repeat = await server.run(key, branches);
    expect(repeat.body).toEqual({ status: 'committed', transactionId: body.transactionId });
  });

  it('begins, enlists and commits step by step', async () => {
    const id = await server.begin(newKey(), { name: 'step by step' });
    expect((await server.enlist(id, 'stock', 'one', 1)).body).toEqual({ transactionId: id, branchId: 'one' });
    expect((await server.enlist(id, 'stock', 'two', 2)).status).toBe(200);
    expect((await server.ask('GET', `/transactions/${id}`)).body).toMatchObject({
      status: 'pending',
      view: { state: 'ACTIVE', name: 'step by step' },
    });

    const { status, body } = await server.ask('POST', `/transactions/${id}/commit`);
    expect([status, body]).toEqual([200, { status: 'committed', transactionId: id }]);
    expect(server.stock.effectOn(id, 'two')).toBe('committed');
    expect((await server.ask('POST', `/transactions/${id}/commit`, { body: {} })).body).toEqual(body);
    expect((await server.ask('POST', `/transactions/${id}/rollback`)).body).toEqual(body);
  });

  it('begins once for one key, and adds a branch once for one id', async () => {
    const key = newKey();
    const id = await server.begin(key);
    expect(await server.begin(key)).toBe(id);
    await server.enlist(id, 'stock', 'one', { sku: 'lamp' });
    expect((await server.enlist(id, 'stock', 'one', { sku: 'lamp' })).status).toBe(200);
    const conflict = await server.enlist(id, 'stock', 'one', { sku: 'desk' });
    expect([conflict.status, conflict.body.code]).toEqual([409, 'DTC_BRANCH_CONFLICT']);
    expect((await server.ask('GET', `/transactions/${id}`)).body.view.branches).toHaveLength(1);
    await server.ask('POST', `/transactions/${id}/rollback`);
  });

  it('rolls back, with the reason of the caller', async () => {
    const id = await server.begin(newKey());
    await server.enlist(id, 'stock', 'one');
    const { body } = await server.ask('POST', `/transactions/${id}/rollback`, { body: { reason: 'closed' } });
    expect(body).toMatchObject({ status: 'aborted', cause: 'rolled-back', reason: 'closed' });
    const late = await server.enlist(id, 'stock', 'two');
    expect([late.status, late.body.code]).toEqual([409, 'DTC_NOT_ACTIVE']);
  });

  it('rules commit out', async () => {
    const id = await server.begin(newKey());
    await server.enlist(id, 'stock', 'one');
    const { body } = await server.ask('POST', `/transactions/${id}/rollback-only`, {
      body: { reason: 'why' },
    });
    expect(body).toEqual({ transactionId: id, isRollbackOnly: true });
    expect((await server.ask('POST', `/transactions/${id}/commit`)).body).toMatchObject({
      status: 'aborted',
      cause: 'rollback-only',
      reason: 'why',
    });
  });

  it('ends an abandoned transaction at its time-out', async () => {
    const id = await server.begin(newKey(), { timeoutMs: 30 });
    await server.enlist(id, 'stock', 'one');
    let known = await server.ask('GET', `/transactions/${id}`);
    while (known.body.status === 'pending') known = await server.ask('GET', `/transactions/${id}`);
    expect(known.body.status).toBe('aborted');
    expect((await server.ask('POST', `/transactions/${id}/commit`)).body).toMatchObject({
      status: 'aborted',
      cause: 'timed-out',
    });
  });

  it('never guesses the outcome of a transaction that it does not know', async () => {
    const { run } = (await server.ask('GET', '')).body;
    for (const id of [`coordinator.${run}.99999`, 'other.aaaaaaaaaaaa.1.1', 'nothing', '%00', "a'b"]) {
      const known = await server.ask('GET', `/transactions/${encodeURIComponent(id)}`);
      expect([known.status, ['pending', 'unknown'].includes(known.body.status)]).toEqual([200, true]);
      const decision = await server.ask('GET', `/transactions/${encodeURIComponent(id)}/decision`, {
        token: PARTICIPANT.token,
      });
      expect(decision.body).toEqual({ transactionId: id, decision: 'wait' });
      const commit = await server.ask('POST', `/transactions/${encodeURIComponent(id)}/commit`);
      expect([202, 404]).toContain(commit.status);
    }
  });

  it('tells a participant in doubt the decision', async () => {
    const { body } = await server.run(newKey(), branches);
    const ask = (id: string): Promise<{ body: { decision: string } }> =>
      server.ask('GET', `/transactions/${id}/decision`, { token: PARTICIPANT.token });
    expect((await ask(body.transactionId)).body.decision).toBe('commit');

    const id = await server.begin(newKey());
    expect((await ask(id)).body.decision).toBe('wait');
    await server.ask('POST', `/transactions/${id}/rollback`);
    expect((await ask(id)).body.decision).toBe('abort');
  });

  it.each([
    [
      'nested too deep',
      {
        branches: [{ participant: 'stock', payload: JSON.parse('['.repeat(66) + ']'.repeat(66)) as unknown }],
      },
      'branches.0.payload',
    ],
    [
      'too large',
      { branches: [{ participant: 'stock', payload: 'x'.repeat(65_536) }] },
      'branches.0.payload',
    ],
    ['that would wait too long', { branches: [], timeoutMs: 60_001 }, 'timeoutMs'],
  ])('refuses what is %s, and names the field', async (_what, body, field) => {
    const { status, body: problem } = await server.ask('POST', '/run', { key: newKey(), body });
    expect([status, problem.code, problem.detail]).toEqual([
      400,
      'DTC_INVALID_REQUEST',
      expect.stringContaining(field),
    ]);
  });

  it.each([undefined, '', 'two words', 'k'.repeat(129)])('refuses a request with the key %j', async (key) => {
    const { status, body } = await server.ask('POST', '/run', {
      body: { branches: [] },
      ...(key !== undefined && { headers: { 'idempotency-key': key } }),
    });
    expect([status, body.code]).toEqual([400, 'DTC_INVALID_REQUEST']);
  });

  it('refuses a request for another run, whose keys it does not know', async () => {
    const { body: greeting } = await server.ask('GET', '');
    expect(greeting).toMatchObject({ version: 1, run: `${greeting.logId}.1`, isShared: false });
    const meant = { headers: { 'dtc-run': `${greeting.logId}.2` }, body: { branches: [] } };
    const refused = await server.ask('POST', '/run', { key: newKey(), ...meant });
    expect([refused.status, refused.body.code]).toEqual([409, 'DTC_OTHER_RUN']);
    const taken = await server.ask('POST', '/run', {
      key: newKey(),
      headers: { 'dtc-run': greeting.run },
      body: { branches: [] },
    });
    expect(taken.body.status).toBe('committed');
  });

  it.each([
    ['GET', '', ['caller', 'participant', 'reader', 'operator']],
    ['POST', '/run', ['caller']],
    ['POST', '/transactions', ['caller']],
    ['GET', '/transactions/x', ['caller', 'participant', 'reader', 'operator']],
    ['GET', '/transactions/x/decision', ['participant', 'operator']],
    ['POST', '/transactions/x/branches', ['caller']],
    ['POST', '/transactions/x/commit', ['caller']],
    ['POST', '/transactions/x/rollback', ['caller']],
    ['POST', '/transactions/x/rollback-only', ['caller']],
  ])('admits to %s %s only %j', async (method, path, allowed) => {
    const tokens = { caller: 'shop', participant: 'inventory', reader: 'prometheus', operator: 'alice' };
    for (const [role, name] of Object.entries(tokens)) {
      const of = name === 'shop' ? 'the-token-of-the-shop' : `the-token-of-${name}`;
      const { status, body } = await server.ask(method, path, { token: of });
      if (allowed.includes(role)) expect([401, 403]).not.toContain(status);
      else expect([status, body.code]).toEqual([403, 'DTC_FORBIDDEN']);
    }
    const stranger = await server.ask(method, path, { token: 'the-token-of-no-one' });
    expect([stranger.status, stranger.body.code]).toEqual([401, 'DTC_UNAUTHENTICATED']);
    expect(stranger.headers.get('www-authenticate')).toBe('Bearer');
    expect((await server.ask(method, path, { token: undefined })).status).toBe(401);
  });

  it('registers a participant only under a name of its credential, and only where that is allowed', async () => {
    const body = { address: 'http://127.0.0.1:9/participants' };
    const put = (name: string): ReturnType<TestServer['ask']> =>
      server.ask('PUT', `/participants/${name}`, { body, token: PARTICIPANT.token });
    const other = await put('stock');
    expect([other.status, other.body.code]).toEqual([403, 'DTC_FORBIDDEN']);
    for (const name of ['inventory', 'billing']) {
      const own = await put(name);
      expect([own.status, own.body.code]).toEqual([403, 'DTC_ADDRESS_REFUSED']);
    }
    expect((await put('inventory.billing')).body.code).toBe('DTC_FORBIDDEN');
    const removed = await server.ask('DELETE', '/participants/stock', { token: PARTICIPANT.token });
    expect(removed.body.code).toBe('DTC_FORBIDDEN');
    expect((await server.ask('GET', '/participants')).body.participants).toEqual([
      { name: 'stock', address: null },
      { name: 'money', address: null },
    ]);
  });

  it('lets a reader see and not act', async () => {
    const id = await server.begin(newKey());
    const seen = await server.ask('GET', `/transactions/${id}`, { token: READER.token });
    expect(seen.body.status).toBe('pending');
    const acted = await server.ask('POST', `/transactions/${id}/commit`, { token: READER.token });
    expect([acted.status, acted.body.code]).toEqual([403, 'DTC_FORBIDDEN']);
  });
});

describe('The key of a request to a coordinator that forgets finished transactions', () => {
  let server: TestServer;

  beforeAll(async () => {
    server = await TestServer.start({ retryBaseMs: 1, completionWaitMs: 20, retainFinished: 0 });
  });
  afterAll(() => server.close());

  const branches = [{ participant: 'stock', payload: null }];
  const begin = async (key: string): Promise<unknown> =>
    (await server.ask('POST', '/transactions', { key, body: {} })).body;
  const isForgotten = async (id: string): Promise<void> => {
    const because = async (): Promise<unknown> => await server.app.get(TransactionManager).outcomeOf(id);
    await expect.poll(because).toMatchObject({ status: 'unknown', because: 'forgotten' });
  };

  it('tells a repeat of begin that its transaction has committed, and begins none', async () => {
    const key = newKey();
    const id = await server.begin(key);
    await server.enlist(id, 'stock', 'one');
    await server.ask('POST', `/transactions/${id}/commit`);
    await isForgotten(id);
    // The coordinator keeps the keys of a number of commits only.
    const asked = vi.spyOn(server.app.get(TransactionManager), 'beginOnce');
    for (const _ of [1, 2]) {
      const outcome = { status: 'committed', transactionId: id };
      expect(await begin(key)).toEqual({ transactionId: id, repeated: true, outcome });
    }
    expect(asked).not.toHaveBeenCalled();
    asked.mockRestore();
  });

  it.each(['commit', 'rollback'])(
    'tells a repeat of %s the outcome, and also a request for the opposite',
    async (how) => {
      server.stock.script = {};
      const id = await server.begin(newKey());
      await server.enlist(id, 'stock', 'one');
      const first = await server.ask('POST', `/transactions/${id}/${how}`);
      await isForgotten(id);

      for (const again of ['commit', 'rollback'])
        expect((await server.ask('POST', `/transactions/${id}/${again}`)).body).toEqual(first.body);
      const status = how === 'commit' ? 'committed' : 'aborted';
      expect((await server.ask('GET', `/transactions/${id}`)).body).toMatchObject({ status, view: null });
      const { body } = await server.run(newKey(), branches);
      await isForgotten(body.transactionId);
      const run = await server.ask('GET', `/transactions/${body.transactionId}`);
      expect(run.body.status).toBe('committed');
    },
  );

  it('tells nothing of a transaction whose key has been used again', async () => {
    const key = newKey();
    const id = await server.begin(key);
    await server.ask('POST', `/transactions/${id}/rollback`);
    await isForgotten(id);
    await begin(key);
    const { status, body } = await server.ask('POST', `/transactions/${id}/commit`);
    expect([status, body.code]).toEqual([404, 'DTC_TRANSACTION_NOT_FOUND']);
  });

  it('begins again where the transaction has aborted', async () => {
    const key = newKey();
    const id = await server.begin(key);
    await server.ask('POST', `/transactions/${id}/rollback`);
    await isForgotten(id);
    const next = (await begin(key)) as { transactionId: string };
    expect(next).toEqual({ transactionId: expect.any(String) });
    expect(next.transactionId).not.toBe(id);
    expect((await server.ask('POST', `/transactions/${next.transactionId}/commit`)).body.status).toBe(
      'committed',
    );
  });

  it.each(['begin', 'run'])('tells a repeat of %s whose commit was acknowledged late', async (how) => {
    const key = newKey();
    const gate = Promise.withResolvers<void>();
    server.stock.script = { commit: { until: gate.promise } };
    const first =
      how === 'run'
        ? await server.run(key, branches)
        : await server.begin(key).then(async (id) => {
            await server.enlist(id, 'stock', 'one');
            return server.ask('POST', `/transactions/${id}/commit`);
          });
    const { transactionId } = first.body;
    expect(first.body).toMatchObject({ status: 'pending', decision: 'commit' });
    gate.resolve();
    await isForgotten(transactionId);
    const outcome = { status: 'committed', transactionId };
    if (how === 'run') expect((await server.run(key, branches)).body).toEqual(outcome);
    else expect(await begin(key)).toEqual({ transactionId, repeated: true, outcome });
  });

  it.each(['committed', 'aborted'])(
    'asks again what has become of a run that was open and has %s',
    async (status) => {
      const key = newKey();
      const transactions = server.app.get(TransactionManager);
      const given = transactions.run.bind(transactions);
      const run = vi.spyOn(transactions, 'run').mockImplementationOnce(async (request) => {
        const { transactionId } = await given(request);
        return { status: 'pending', transactionId, decision: 'unknown', reason: 'asked later' };
      });
      server.stock.script = status === 'aborted' ? { prepare: ['no', 'yes'] } : {};
      const before = server.stock.count('prepare');

      const { body } = await server.run(key, branches);
      expect(run).toHaveBeenCalledTimes(2);
      run.mockRestore();
      expect(body.status).toBe('committed');
      expect(server.stock.count('prepare')).toBe(before + (status === 'aborted' ? 2 : 1));
      expect((await server.run(key, branches)).body).toEqual(body);
    },
  );
});
