import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type INestApplicationContext, Logger } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type CoordinatorModuleOptions, TransactionManager, branch } from '../../src/coordinator/index.js';
import { SharedMemoryLog } from '../../src/coordinator/testing/shared-memory-log.js';
import { SharedMemoryStore } from '../../src/coordinator/testing/shared-memory-store.js';
import { MemoryReplicaGuardStore } from '../../src/host/index.js';
import {
  RegistrationFile,
  RemoteParticipants,
  type RemoteParticipantsOptions,
} from '../../src/remote/index.js';
import { SqliteDecisionLog } from '../../src/sqlite/index.js';
import { HttpProxy } from './support/http-proxy.js';
import { Books, ledgerOf } from './support/ledger.js';
import { type Host, startCoordinator, startHost } from './support/services.js';

const books = new Books();
let hosts: Host[];
let proxy: HttpProxy;
let path: string;
const open: INestApplicationContext[] = [];

beforeAll(async () => {
  const guard = new MemoryReplicaGuardStore();
  hosts = await Promise.all([
    startHost([ledgerOf('stock', books)], { guard }),
    startHost([ledgerOf('stock', books)], { guard }),
    startHost([ledgerOf('payment', new Books())]),
  ]);
  proxy = await HttpProxy.open([hosts[0]!.address]);
});
afterAll(async () => {
  await proxy.close();
  await Promise.all(hosts.map(({ app }) => app.close()));
});
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'registration-'));
});
afterEach(async () => {
  proxy.rule = () => 'pass';
  await Promise.all(open.splice(0).map((application) => application.close()));
  rmSync(path, { recursive: true, force: true });
});

async function start(
  remote: Partial<RemoteParticipantsOptions> = {},
  coordinator: CoordinatorModuleOptions = {},
): Promise<{
  application: INestApplicationContext;
  transactions: TransactionManager;
  remote: RemoteParticipants;
}> {
  const application = await startCoordinator(
    {
      participants: [{ name: 'payment', address: hosts[2]!.address }],
      allow: [...hosts, proxy].map(({ address }) => new URL(address).origin),
      registrations: new RegistrationFile(join(path, 'participants.json')),
      ...remote,
    },
    {
      log: new SqliteDecisionLog({ path }),
      maxAttempts: 2,
      completionTimeoutMs: 300,
      retryBaseMs: 10,
      retryCapMs: 20,
      recoveryIntervalMs: 50,
      completionWaitMs: 100,
      orphanSafetyMs: 50,
      ...coordinator,
    },
  );
  open.push(application);
  return {
    application,
    transactions: application.get(TransactionManager),
    remote: application.get(RemoteParticipants),
  };
}

const order = () => ({ branches: [branch('stock', { amount: 1 }), branch('payment', { amount: 1 })] });

describe('A participant that registers itself', () => {
  it('fault 6: is known after a restart, cannot be removed while in doubt, and moves with its branches', async () => {
    const before = await start();
    await before.remote.register('stock', proxy.address);
    proxy.rule = ({ calls }) => (calls.some(({ method }) => method === 'commit') ? 'lose' : 'pass');
    const balance = books.balance;
    expect(await before.transactions.run(order())).toMatchObject({ status: 'pending', decision: 'commit' });
    await expect(before.remote.unregister('stock')).rejects.toMatchObject({ code: 'DTC_PARTICIPANT_NEEDED' });
    await open.pop()!.close();

    const after = await start();
    expect(after.remote.list()).toContainEqual(
      expect.objectContaining({ name: 'stock', address: proxy.address, origin: 'registered' }),
    );
    await expect(after.remote.unregister('stock')).rejects.toMatchObject({ code: 'DTC_PARTICIPANT_NEEDED' });
    expect(books.balance).toBe(balance);
    await after.remote.register('stock', hosts[1]!.address);
    await expect.poll(() => books.balance).toBe(balance + 1);

    await expect.poll(() => after.remote.unregister('stock').then(() => 'removed', String)).toBe('removed');
    await expect(after.transactions.run(order())).rejects.toMatchObject({ code: 'DTC_UNKNOWN_PARTICIPANT' });
    await open.pop()!.close();
    const last = await start();
    expect(last.remote.list().map(({ name }) => name)).toEqual(['payment']);
  });

  it('is not removed while its host holds a branch in doubt that this coordinator does not know', async () => {
    // A busy machine may answer a commit late, which makes no difference to the branch.
    const { remote, transactions } = await start(
      {},
      { completionWaitMs: 20_000, completionTimeoutMs: 20_000 },
    );
    await remote.register('stock', proxy.address);
    proxy.rule = ({ calls }) =>
      calls.some(({ method }) => method === 'recover')
        ? {
            status: 200,
            headers: { 'Content-Type': 'application/x-ndjson' },
            // The question what the host is may be in the same message.
            body: calls
              .map(({ method }, id) => ({
                id,
                ...(method === 'recover'
                  ? {
                      kind: 'branches',
                      branches: [{ transactionId: 'x', branchId: 'stock' }],
                      more: false,
                    }
                  : { kind: 'error', reason: 'not now' }),
              }))
              .map((answer) => `${JSON.stringify(answer)}\n`)
              .join(''),
          }
        : 'pass';
    await expect(remote.unregister('stock')).rejects.toThrow('holds branches in doubt');
    proxy.rule = () => 'lose';
    await expect(remote.unregister('stock')).rejects.toThrow('cannot be asked');
    proxy.rule = () => 'pass';
    expect(await transactions.run(order())).toMatchObject({ status: 'committed' });
  });

  it('takes an allowed address only, and no name of another participant', async () => {
    const { remote } = await start();
    const { port } = new URL(hosts[0]!.address);
    for (const address of [
      'http://elsewhere.internal/participants',
      `http://user:secret@127.0.0.1:${port}/`,
      `https://127.0.0.1:${port}/`,
      `http://127.0.0.1:${port}@evil.example/`,
      `http://127.0.0.1.evil.example:${port}/`,
      'file:///etc/passwd',
      'http://127.0.0.1:1/',
      `http://127.0.0.1:${port}/participants\nLOG forged`,
      `http://127.0.0.1:${port}/parti\u2028cipants`,
      '',
    ]) {
      await expect(remote.register('stock', address)).rejects.toMatchObject({ code: 'DTC_ADDRESS_REFUSED' });
    }
    await expect(remote.register('payment', hosts[0]!.address)).rejects.toMatchObject({
      code: 'DTC_DUPLICATE_PARTICIPANT',
    });
    await expect(remote.register('Stock\n', hosts[0]!.address)).rejects.toMatchObject({
      code: 'DTC_ADDRESS_REFUSED',
    });
    await expect(remote.unregister('payment')).rejects.toMatchObject({ code: 'DTC_PARTICIPANT_NOT_FOUND' });
    expect(remote.list().map(({ name }) => name)).toEqual(['payment']);
  });

  it('is refused where no address is allowed, and allowed addresses need a store', async () => {
    const { remote } = await start({ allow: [], registrations: undefined });
    await expect(remote.register('stock', hosts[0]!.address)).rejects.toMatchObject({
      code: 'DTC_ADDRESS_REFUSED',
    });
    await expect(start({ registrations: undefined })).rejects.toThrow('registrations: is needed with allow');
    await expect(start({ allow: ['stock'] })).rejects.toThrow('allow: "stock" is no origin');
  });

  it('is known to every member of a shared log', async () => {
    const store = new SharedMemoryStore({ now: () => performance.now() });
    const [one, other] = await Promise.all(
      [1, 2].map(async () => {
        const log = new SharedMemoryLog(store);
        const application = await startCoordinator(
          { allow: [new URL(hosts[0]!.address).origin], registrations: log, refreshIntervalMs: 20 },
          { log },
        );
        open.push(application);
        return application;
      }),
    );
    await one!.get(RemoteParticipants).register('stock', hosts[0]!.address);
    const run = () =>
      other!
        .get(TransactionManager)
        .run({ branches: [branch('stock', { amount: 1 })] })
        .then(
          ({ status }) => status,
          ({ code }: { code: string }) => code,
        );
    await expect.poll(run).toBe('committed');
    await one!.get(RemoteParticipants).unregister('stock');
    await expect.poll(run).toBe('DTC_UNKNOWN_PARTICIPANT');
  });

  it('is reported once, and not at each refresh, where its address is no longer allowed', async () => {
    const errors = vi.spyOn(Logger.prototype, 'error');
    const entry = { name: 'stock', details: undefined, revision: 1, isRemoved: false };
    let address = 'http://formerly:3000/participants';
    let refreshes = 0;
    const registrations = {
      register: () => Promise.resolve(),
      unregister: () => Promise.resolve(),
      registrations: () => Promise.resolve([{ ...entry, address, revision: ++refreshes }]),
    };
    const reported = (): unknown[] =>
      errors.mock.calls
        .map(([text]) => text as unknown)
        .filter((text) => String(text).includes('not taken over'));

    await start({ registrations, refreshIntervalMs: 5 });
    await expect.poll(() => refreshes).toBeGreaterThan(5);
    expect(reported()).toEqual([expect.stringContaining('http://formerly:3000 is not in the option allow')]);

    address = 'http://another:3000/participants';
    await expect.poll(() => reported().length).toBe(2);
    errors.mockRestore();
  });

  it('is taken over at a later refresh, also where the logger fails to report the earlier problem', async () => {
    const problems: string[] = [];
    const failing = (line: unknown): void => {
      problems.push(String(line));
      throw new Error('no room for lines');
    };
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const defects: unknown[] = [];
    const note = (error: unknown): void => void defects.push(error);
    process.on('unhandledRejection', note);
    const entry = { name: 'stock', details: undefined, isRemoved: false };
    const refused = { ...entry, name: 'refused', address: 'http://formerly:3000/participants', revision: 1 };
    let found = (): Promise<object[]> => Promise.resolve([]);
    const registrations = {
      register: () => Promise.resolve(),
      unregister: () => Promise.resolve(),
      registrations: () => found(),
    } as unknown as RegistrationFile;
    const { remote } = await start({ registrations, refreshIntervalMs: 5 });
    const addressOfStock = (): unknown => remote.list().find(({ name }) => name === 'stock')?.address;
    Logger.overrideLogger({ log: failing, warn: failing, error: failing });
    found = () => Promise.reject(new Error('the store is away'));
    await expect.poll(() => problems.join(' ')).toContain('the store is away');
    for (const [revision, { address }] of [hosts[0]!, hosts[1]!].entries()) {
      found = () => Promise.resolve([refused, { ...entry, address, revision: revision + 1 }]);
      await expect.poll(addressOfStock).toBe(address);
    }
    Logger.overrideLogger(false);
    process.off('unhandledRejection', note);
    warning.mockRestore();

    expect(problems.filter((line) => line.includes('not taken over'))).toEqual([
      expect.stringContaining('"refused"'),
    ]);
    expect(defects).toEqual([]);
  });

  it('is kept in a file, and a damaged file stops the start', async () => {
    const file = join(path, 'below', 'participants.json');
    const registrations = new RegistrationFile(file);
    await registrations.register({ name: 'stock', address: 'http://stock', details: null });
    await registrations.register({ name: 'stock', address: 'http://other', details: null });
    await registrations.register({ name: 'payment', address: 'http://payment', details: null });
    await registrations.unregister('payment');
    expect(await new RegistrationFile(file).registrations()).toEqual([
      { name: 'stock', address: 'http://other', details: null, revision: 2, isRemoved: false },
      { name: 'payment', address: 'http://payment', details: null, revision: 4, isRemoved: true },
    ]);
    for (const text of ['', '{}', '[]', '{"version":1,"registrations":[{"name":"a"}]}']) {
      writeFileSync(file, text);
      expect(() => new RegistrationFile(file)).toThrow('damaged');
    }
  });
});
