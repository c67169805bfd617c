import {
  Body,
  ConflictException,
  Controller,
  Get,
  Injectable,
  Logger,
  Module,
  Post,
  type INestApplication,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host.js';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Observable, defer, firstValueFrom, of, throwError } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  DistributedTransaction,
  JoinsTransactions,
  NotCommittedError,
  TransactionCarrier,
  TransactionManager,
  branch,
  credentialsFrom,
} from '../../src/client/index.js';
import { CarriedTransactionGuard, CarriedTransactionInterceptor } from '../../src/client/joining.js';
import { Transaction } from '../../src/client/transaction.js';
import * as coordinator from '../../src/coordinator/index.js';
import { LogRecorder } from '../library/support/log-recorder.js';
import { PLATFORMS } from '../library/support/platforms.js';
import { TRAVELLER, calledService, callingService, carryTo, clientOf, listening } from './support.js';
import { TestServer } from '../server/support.js';

/** The service that is called: it adds its own branch to the transaction of its caller. */
@JoinsTransactions()
@Controller('reservations')
class ReservationsController {
  constructor(private readonly transactions: TransactionManager) {}

  @Post()
  async reserve(@Body() { sku, fails = false }: { sku: string; fails?: boolean }): Promise<object> {
    const id = this.transactions.current()?.id ?? null;
    if (id !== null) await this.transactions.enlist(branch('stock', { sku }));
    if (fails) throw new ConflictException('sold out');
    return { id };
  }
}

@JoinsTransactions({ required: true })
@Controller('strict')
class StrictController {
  constructor(private readonly transactions: TransactionManager) {}

  @Post()
  reserve(): object {
    return { id: this.transactions.current()!.id };
  }

  @JoinsTransactions()
  @Post('anyhow')
  anyhow(): object {
    return { id: this.transactions.current()?.id ?? null };
  }

  @JoinsTransactions({ required: true })
  @Post('twice')
  twice(): object {
    return this.reserve();
  }
}

@Controller('plain')
class PlainController {
  constructor(private readonly transactions: TransactionManager) {}

  @Get()
  current(): object {
    return { id: this.transactions.current()?.id ?? null };
  }
}

/** The service that begins: its coordinator is in another process. */
@Injectable()
class Checkout {
  static url = '';

  constructor(
    private readonly transactions: TransactionManager,
    private readonly carrier: TransactionCarrier,
  ) {}

  @DistributedTransaction({ name: 'checkout', timeoutMs: 5_000 })
  async place(order: { sku: string; fails?: boolean; ignores?: boolean }): Promise<string> {
    const { id } = this.transactions.current()!;
    await this.transactions.enlist(branch('money', { amount: 5 }));
    const response = await this.carrier.fetch(`${Checkout.url}/reservations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(order),
    });
    if (!response.ok && order.ignores !== true) throw new Error(`stock: ${response.status}`);
    return id;
  }
}

/** The same where the coordinator is in the process of the service that begins. */
@Injectable()
class LocalCheckout {
  constructor(private readonly transactions: coordinator.TransactionManager) {}

  @coordinator.DistributedTransaction()
  async place(sku: string): Promise<string> {
    const carrier = new TransactionCarrier(this.transactions, carryTo(Checkout.url));
    this.transactions.enlist(branch('money', 1));
    await carrier.fetch(`${Checkout.url}/reservations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ sku }),
    });
    return this.transactions.current()!.id;
  }
}

@Module({ providers: [LocalCheckout] })
class LocalModule {}

describe.each(PLATFORMS)('Two services in one transaction on %s', (_name, platform) => {
  let server: TestServer;
  let stock: INestApplication;
  let shop: INestApplication;
  let checkout: Checkout;

  beforeAll(async () => {
    server = await TestServer.start(
      { completionWaitMs: 50 },
      undefined,
      { imports: [LocalModule] },
      platform,
    );
    const stockModule = await calledService(server, {
      controllers: [ReservationsController, PlainController, StrictController],
    });
    stock = platform(stockModule);
    Checkout.url = await listening(stock);
    const shopModule = await callingService(server, Checkout.url, { providers: [Checkout] });
    shop = platform(shopModule);
    await shop.init();
    checkout = shop.get(Checkout);
  });

  afterAll(async () => {
    (stock.getHttpServer() as { closeAllConnections(): void }).closeAllConnections();
    await Promise.all([shop.close(), stock.close()]);
    await server.close();
  });

  const participantsOf = async (id: string): Promise<(string | undefined)[]> =>
    (await shop.get(TransactionManager).find(id))!.branches.map(({ participant }) => participant);

  it('commit together: the one begins, and the other adds its branch', async () => {
    const id = await checkout.place({ sku: 'lamp' });
    expect(await participantsOf(id)).toEqual(['money', 'stock']);
    expect(server.stock.calls.at(-1)?.branch.payload).toEqual({ sku: 'lamp' });
    expect((await shop.get(TransactionManager).outcomeOf(id)).status).toBe('committed');
  });

  it('commit together where the coordinator is in the process of the one that begins', async () => {
    const id = await server.app.get(LocalCheckout).place('desk');
    expect(await participantsOf(id)).toEqual(['money', 'stock']);
  });

  it('roll back together where the second one fails', async () => {
    const before = server.money.count('commit');
    await expect(checkout.place({ sku: 'lamp', fails: true })).rejects.toThrow('stock: 409');
    expect(server.money.count('commit')).toBe(before);
  });

  it('cannot commit after the second one has failed, also where the first one ignores it', async () => {
    const failed = checkout.place({ sku: 'lamp', fails: true, ignores: true });
    await expect(failed).rejects.toThrow(NotCommittedError);
    await expect(failed).rejects.toMatchObject({
      outcome: { status: 'aborted', cause: 'rollback-only', reason: 'sold out' },
    });
  });

  it.each([
    ['no credential', {}, 401],
    ['the credential of no known service', { 'dtc-authorization': 'Bearer the-token-of-no-one' }, 401],
    ['a token that is not one', { 'dtc-authorization': 'the-token-of-checkout' }, 401],
    ['the credential of a service', { 'dtc-authorization': `Bearer ${TRAVELLER.token}` }, 400],
  ])('refuse a request whose transaction cannot be read, with %s', async (_what, headers, status) => {
    const response = await fetch(`${Checkout.url}/reservations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'dtc-transaction': "'; DROP TABLE", ...headers },
      body: '{"sku":"lamp"}',
    });
    expect(response.status).toBe(status);
  });

  it('refuse a request without a transaction where one is required', async () => {
    const ask = async (path: string, headers: Record<string, string> = {}): Promise<unknown[]> => {
      const response = await fetch(`${Checkout.url}${path}`, { method: 'POST', headers });
      return [response.status, await response.json()];
    };
    const carried = {
      'dtc-transaction': 'c.aaaaaaaaaaaa.1.1',
      'dtc-authorization': `Bearer ${TRAVELLER.token}`,
    };
    for (const path of ['/strict', '/strict/twice']) {
      expect(await ask(path)).toMatchObject([400, { statusCode: 400, code: 'DTC_TRANSACTION_NEEDED' }]);
      expect(await ask(path, carried)).toEqual([201, { id: 'c.aaaaaaaaaaaa.1.1' }]);
      const { 'dtc-transaction': id } = carried;
      expect(await ask(path, { 'dtc-transaction': id })).toMatchObject([
        401,
        { code: 'DTC_UNAUTHENTICATED' },
      ]);
    }
    expect(await ask('/strict/anyhow')).toEqual([201, { id: null }]);
  });

  it('read the header only where a controller has opted in', async () => {
    const carried = {
      'dtc-transaction': 'c.aaaaaaaaaaaa.1.1',
      'dtc-authorization': `Bearer ${TRAVELLER.token}`,
    };
    const plain = await fetch(`${Checkout.url}/plain`, { headers: carried });
    expect(await plain.json()).toEqual({ id: null });
    const without = await fetch(`${Checkout.url}/reservations`, { method: 'POST' });
    expect(without.status).toBeGreaterThanOrEqual(200);
  });
});

describe('A handler of messages with @JoinsTransactions', () => {
  const carriedOne = { id: 'c.aaaaaaaaaaaa.1.1', state: 'ACTIVE' };
  const carried = {
    'dtc-transaction': carriedOne.id,
    'dtc-authorization': `Bearer ${TRAVELLER.token}`,
    data: { sku: 'lamp' },
  };

  /** The arguments of one call, as Nest hands them to guards, interceptors and the handler. */
  function callWith(data: unknown): { context: ExecutionContextHost; args: unknown[] } {
    const args = [data, {}];
    const context = new ExecutionContextHost(args, ReservationsController, () => {});
    context.setType('rpc');
    return { context, args };
  }

  const { carriers } = { carriers: () => [TRAVELLER] };
  const transactions = clientOf(['http://127.0.0.1:1/dtc']);
  const guard = new CarriedTransactionGuard(transactions, { carriers } as never, new Reflector());
  const interceptor = new CarriedTransactionInterceptor();

  it('gets the data alone, and runs in the transaction', async () => {
    const { context, args } = callWith(carried);
    expect(guard.canActivate(context)).toBe(true);
    expect(args[0]).toEqual({ sku: 'lamp' });
    const handle = (): Observable<unknown> => defer(() => of(transactions.current()?.id));
    expect(await firstValueFrom(interceptor.intercept(context, { handle }))).toBe(carriedOne.id);
    expect(transactions.current()).toBeUndefined();
  });

  it('is refused without a transaction where one is required, and its data is unwrapped once', async () => {
    const handler = Object.getOwnPropertyDescriptor(StrictController.prototype, 'twice')!
      .value as () => object;
    const strict = (data: unknown): ExecutionContextHost => {
      const context = new ExecutionContextHost([data, {}], StrictController, handler);
      context.setType('rpc');
      return context;
    };
    expect(() => guard.canActivate(strict({ sku: 'lamp' }))).toThrow('the request carries none');
    const context = strict(carried);
    // The guards of the controller and of its handler.
    expect([guard.canActivate(context), guard.canActivate(context)]).toEqual([true, true]);
    expect(context.getArgs()[0]).toEqual({ sku: 'lamp' });
  });

  it('writes one line when the coordinator refuses in words of many lines', async () => {
    const { context } = callWith(carried);
    expect(guard.canActivate(context)).toBe(true);
    const recorder = new LogRecorder();
    Logger.overrideLogger(recorder);
    vi.spyOn(Transaction.prototype, 'setRollbackOnly').mockRejectedValueOnce(new Error('no\nLOG forged'));
    const handle = (): Observable<unknown> => throwError(() => new Error('sold out'));
    await expect(firstValueFrom(interceptor.intercept(context, { handle }))).rejects.toThrow('sold out');
    Logger.overrideLogger(false);
    vi.restoreAllMocks();
    expect(recorder.entries.map(({ text }) => text)).toEqual([
      `${carriedOne.id} could not be marked rollback-only: no\\u000aLOG forged`,
    ]);
  });

  it('is not called without the token of a service, and gets other messages as they are', async () => {
    const wrong = callWith({ ...carried, 'dtc-authorization': 'Bearer the-token-of-no-one' });
    expect(() => guard.canActivate(wrong.context)).toThrow('carriers');
    for (const data of [{ sku: 'lamp' }, null, 'text', undefined]) {
      const { context, args } = callWith(data);
      expect(guard.canActivate(context)).toBe(true);
      expect(args[0]).toEqual(data);
      const handle = (): Observable<unknown> => of(transactions.current());
      expect(await firstValueFrom(interceptor.intercept(context, { handle }))).toBeUndefined();
    }
  });
});

describe('Several tokens of a carrier', () => {
  const folder = mkdtempSync(join(tmpdir(), 'carrier-'));
  const file = join(folder, 'carrier');
  writeFileSync(file, `${TRAVELLER.token}\nthe-former-token-of-checkout\n`);
  const token = credentialsFrom(file);
  rmSync(folder, { recursive: true });

  it('are all accepted, so that it can be rotated', () => {
    const carriers = (): object[] => [{ name: 'checkout', token }];
    const options = { carriers } as never;
    const guard = new CarriedTransactionGuard(clientOf(['http://127.0.0.1:1/dtc']), options, new Reflector());
    const admits = (sent: string): boolean => {
      const headers = { 'dtc-transaction': 'c.aaaaaaaaaaaa.1.1', 'dtc-authorization': `Bearer ${sent}` };
      return guard.canActivate(new ExecutionContextHost([{ headers }], ReservationsController, () => {}));
    };
    expect(admits(TRAVELLER.token)).toBe(true);
    expect(admits('the-former-token-of-checkout')).toBe(true);
    expect(() => admits('the-token-of-no-one')).toThrow('carriers');
  });

  it('are sent by the first one', () => {
    const carrier = new TransactionCarrier(
      { current: () => ({ id: 'c.aaaaaaaaaaaa.1.1' }) },
      { token, origins: ['http://stock:3000'] },
    );
    expect(carrier.headers('http://stock:3000/')).toMatchObject({
      'dtc-authorization': `Bearer ${TRAVELLER.token}`,
    });
  });

  it('are refused where a secret is too short, or where there is none', () => {
    for (const wrong of [[], [TRAVELLER.token, 'short']]) {
      const make = (): unknown =>
        new TransactionCarrier({ current: () => undefined }, { token: wrong, origins: [] });
      expect(make).toThrow('carry.token');
    }
  });
});

describe('TransactionCarrier', () => {
  const current = { id: 'c.aaaaaaaaaaaa.1.1' };
  const carrier = new TransactionCarrier(
    { current: () => current },
    { token: TRAVELLER.token, origins: ['http://stock:3000'] },
  );
  const carried = { 'dtc-transaction': current.id, 'dtc-authorization': `Bearer ${TRAVELLER.token}` };

  it('sends the token to the named origins only', () => {
    expect(carrier.headers('http://stock:3000/reservations')).toEqual(carried);
    for (const url of [
      'http://stock:3001/',
      'https://stock:3000/',
      'http://stock.evil/',
      'http://stock:3000@evil/',
      '/x',
    ])
      expect([url, carrier.headers(url)]).toEqual([url, {}]);
  });

  it('carries it with requests of axios, which follow no redirect then', () => {
    const interceptors: ((request: never) => unknown)[] = [];
    carrier.attach({
      interceptors: { request: { use: (interceptor) => interceptors.push(interceptor) } },
      getUri: ({ url }) => url as string,
    });
    const headers = new Map<string, string>();
    const request = { url: '/reservations', baseURL: 'http://stock:3000', headers } as never;
    expect(interceptors[0]!(request)).toMatchObject({ maxRedirects: 0 });
    expect(Object.fromEntries(headers)).toEqual(carried);
    const elsewhere = { url: 'http://evil/', headers: new Map<string, string>() };
    expect(interceptors[0]!(elsewhere as never)).toBe(elsewhere);
    expect(elsewhere.headers.size).toBe(0);
  });

  it('carries it with the messages of a client', () => {
    const sent: unknown[] = [];
    class Client {
      #isConnected = true;
      send(pattern: unknown, data: unknown): boolean {
        sent.push([pattern, data]);
        return this.#isConnected;
      }
      emit(pattern: unknown, data: unknown): void {
        sent.push([pattern, data]);
      }
      close(): boolean {
        return this.#isConnected;
      }
    }
    const client = carrier.client(new Client());
    expect([client.send('reserve', 1), client.close()]).toEqual([true, true]);
    client.emit('noted', { sku: 'lamp' });
    expect(sent).toEqual([
      ['reserve', { ...carried, data: 1 }],
      ['noted', { ...carried, data: { sku: 'lamp' } }],
    ]);
  });

  it('carries nothing outside a transaction', () => {
    const idle = new TransactionCarrier(
      { current: () => undefined },
      { token: TRAVELLER.token, origins: [] },
    );
    expect(idle.message(1)).toBe(1);
    expect(idle.headers('http://stock:3000')).toEqual({});
  });

  it.each([
    ['a token that is short', { token: 'short', origins: [] }, /carry\.token/],
    ['an origin with a path', { token: TRAVELLER.token, origins: ['http://stock/x'] }, /carry\.origins/],
    [
      'origins that are no list',
      { token: TRAVELLER.token, origins: 'http://stock' as never },
      /carry\.origins/,
    ],
  ])('takes no options with %s', (_what, options, problem) => {
    expect(() => new TransactionCarrier({ current: () => undefined }, options)).toThrow(problem);
  });
});
