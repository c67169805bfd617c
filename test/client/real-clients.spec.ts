import { HttpModule, HttpService } from '@nestjs/axios';
import { Body, Controller, type INestApplication, Injectable, Post } from '@nestjs/common';
import {
  ClientProxy,
  ClientsModule,
  MessagePattern,
  type MicroserviceOptions,
  Payload,
  Transport,
} from '@nestjs/microservices';
import { firstValueFrom } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  DistributedTransaction,
  JoinsTransactions,
  NotCommittedError,
  TransactionCarrier,
  TransactionManager,
  branch,
} from '../../src/client/index.js';
import { TestServer } from '../server/support.js';
import { calledService, callingService, listening } from './support.js';
import { freePort } from '../../src/postgres-server/free-port.js';

interface Wish {
  readonly sku: string;
  readonly fails?: boolean;
}

/** The service that is called, over HTTP and by messages. */
@JoinsTransactions()
@Controller('reservations')
class ReservationsController {
  constructor(private readonly transactions: TransactionManager) {}

  @Post()
  async byRequest(@Body() wish: Wish): Promise<object> {
    return this.reserve(wish);
  }

  @MessagePattern('reserve')
  async byMessage(@Payload() wish: Wish): Promise<object> {
    return this.reserve(wish);
  }

  private async reserve({ sku, fails }: Wish): Promise<object> {
    const id = this.transactions.current()?.id ?? null;
    if (id !== null) await this.transactions.enlist(branch('stock', { sku }));
    if (fails === true) throw new Error('sold out');
    return { id };
  }
}

type Way = 'axios' | 'message' | 'forged message';

/** The service that begins. */
@Injectable()
class Checkout {
  static url = '';

  constructor(
    private readonly transactions: TransactionManager,
    private readonly carrier: TransactionCarrier,
    private readonly http: HttpService,
    private readonly stock: ClientProxy,
  ) {
    carrier.attach(http.axiosRef);
  }

  @DistributedTransaction({ timeoutMs: 20_000 })
  async place(way: Way, wish: Wish): Promise<{ readonly id: string; readonly joined: unknown }> {
    const { id } = this.transactions.current()!;
    await this.transactions.enlist(branch('money', { amount: 5 }));
    return { id, joined: await this.ask(way, wish) };
  }

  async ask(way: Way, wish: Wish): Promise<unknown> {
    switch (way) {
      case 'axios':
        return (await firstValueFrom(this.http.post<unknown>(`${Checkout.url}/reservations`, wish))).data;
      case 'message':
        return firstValueFrom(this.carrier.client(this.stock).send<unknown>('reserve', wish));
      case 'forged message': {
        const message = {
          ...(this.carrier.message(wish) as object),
          'dtc-authorization': 'Bearer of-no-service-known',
        };
        return firstValueFrom(this.stock.send<unknown>('reserve', message));
      }
    }
  }
}

describe('A transaction goes to another service with the real client', () => {
  let server: TestServer;
  let stock: INestApplication;
  let shop: INestApplication;
  let checkout: Checkout;

  beforeAll(async () => {
    server = await TestServer.start({ completionWaitMs: 50 });
    const stockModule = await calledService(server, { controllers: [ReservationsController] });
    stock = stockModule.createNestApplication();
    const port = await freePort();
    const tcp = { transport: Transport.TCP, options: { host: '127.0.0.1', port } } as const;
    stock.connectMicroservice<MicroserviceOptions>(tcp);
    await stock.startAllMicroservices();
    Checkout.url = await listening(stock);
    const shopModule = await callingService(server, Checkout.url, {
      imports: [HttpModule, ClientsModule.register([{ name: ClientProxy as never, ...tcp }])],
      providers: [Checkout],
    });
    shop = shopModule.createNestApplication();
    await shop.init();
    checkout = shop.get(Checkout);
  });
  afterAll(async () => {
    await shop.close();
    (stock.getHttpServer() as { closeAllConnections(): void }).closeAllConnections();
    await stock.close();
    await server.close();
  });

  it.each(['axios', 'message'] as const)('by %s: both branches commit', async (way) => {
    const { id, joined } = await checkout.place(way, { sku: way });
    expect(joined).toEqual({ id });
    const view = await shop.get(TransactionManager).find(id);
    expect(view!.branches.map(({ participant }) => participant)).toEqual(['money', 'stock']);
    expect(server.stock.calls.at(-1)?.branch.payload).toEqual({ sku: way });
  });

  it.each(['axios', 'message'] as const)('by %s: an error there commits nothing', async (way) => {
    const before = server.money.count('commit');
    await expect(checkout.place(way, { sku: way, fails: true })).rejects.toBeDefined();
    expect(server.money.count('commit')).toBe(before);
  });

  it.each(['axios', 'message'] as const)(
    'by %s: outside a transaction the request is sent as it is',
    async (way) => {
      expect(await checkout.ask(way, { sku: way })).toEqual({ id: null });
    },
  );

  it('by a message with a wrong token: the handler is not called, and nothing commits', async () => {
    const before = [server.money.count('commit'), server.stock.count('prepare')];
    const refused = checkout.place('forged message', { sku: 'x' });
    await expect(refused).rejects.not.toBeInstanceOf(NotCommittedError);
    expect([server.money.count('commit'), server.stock.count('prepare')]).toEqual(before);
  });
});
