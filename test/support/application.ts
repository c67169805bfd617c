import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { EventEmitter2 } from '@nestjs/event-emitter';
import { Test } from '@nestjs/testing';
import type { DestinationStream } from 'pino';
import supertest, { type Response } from 'supertest';
import { AppModule } from '../../src/app.module.js';
import { readConfiguration } from '../../src/configuration.js';
import { APPLICATION_OPTIONS, configureApp, createHttpAdapter } from '../../src/configure-app.js';
import { MODULE_OPTIONS_TOKEN } from '../../src/coordinator/coordinator.module-definition.js';
import type { DecisionLog, TransactionEventPayloads } from '../../src/coordinator/index.js';
import type { Room, Storage } from './storages.js';

/** The stock of every product, and the balance of every customer. */
export interface Holdings {
  readonly stock: Readonly<Record<string, { onHand: number; reserved: number }>>;
  readonly accounts: Readonly<Record<string, { balance: number; held: number }>>;
}

const SKUS = ['keyboard', 'monitor', 'usb-cable', 'last-lamp'];
const CUSTOMERS = ['alice', 'bob', 'carol'];

/** The application as production configures it, on a port of its own, with short time-outs. */
export class TestApplication {
  private constructor(
    readonly app: NestFastifyApplication,
    private readonly room?: Room,
  ) {}

  /**
   * Starts it with everything as at the first start.
   *
   * @param storage where its services keep what is theirs.
   * @param environment as for {@link start}.
   */
  static async startOn(storage: Storage, environment: NodeJS.ProcessEnv = {}): Promise<TestApplication> {
    const room = await storage.open();
    const { app } = await TestApplication.start({ ...room.environment, ...environment });
    return new TestApplication(app, room);
  }

  /**
   * @param environment as the process would be given, over what suits a test.
   * @param log in place of the one that the environment names.
   */
  static async start(
    environment: NodeJS.ProcessEnv = {},
    logs?: DestinationStream,
    log?: DecisionLog,
  ): Promise<TestApplication> {
    const configuration = readConfiguration({
      LOG_LEVEL: 'silent',
      DEMO: 'true',
      DTC_SWEEP_INTERVAL_MS: '2',
      DTC_PREPARE_TIMEOUT_MS: '300',
      DTC_RETRY_BASE_MS: '1',
      DTC_RECOVERY_INTERVAL_MS: '20',
      DTC_SHUTDOWN_GRACE_MS: '1000',
      ...environment,
    });
    const builder = Test.createTestingModule({ imports: [AppModule.forRoot(configuration, logs)] });
    if (log !== undefined)
      builder.overrideProvider(MODULE_OPTIONS_TOKEN).useValue({ ...configuration.coordinator, log });
    const module = await builder.compile();
    const app = configureApp(
      module.createNestApplication<NestFastifyApplication>(createHttpAdapter(), APPLICATION_OPTIONS),
    );
    await app.listen(0, '127.0.0.1');
    return new TestApplication(app);
  }

  /** Puts so much of a product on the shelves. Only with services in PostgreSQL. */
  async stock(sku: string, onHand: number): Promise<void> {
    await this.room?.databases[1]?.query('UPDATE stock SET on_hand = $2 WHERE sku = $1', [sku, onHand]);
  }

  get http() {
    return supertest(this.app.getHttpServer());
  }

  async close(): Promise<void> {
    await this.app.close();
    await this.room?.remove();
  }

  /** @returns how many branches are prepared in the databases, whichever application has prepared them. */
  async prepared(): Promise<number> {
    const listed = await Promise.all((this.room?.databases ?? []).map((database) => database.prepared()));
    return listed.flat().length;
  }

  /** Orders products, each by its sku and quantity. */
  order(customerId: string, items: Record<string, number>, idempotencyKey?: string): Promise<Response> {
    const lines = Object.entries(items).map(([sku, quantity]) => ({ sku, quantity }));
    const request = this.http.post('/orders').send({ customerId, items: lines });
    return settled(idempotencyKey === undefined ? request : request.set('Idempotency-Key', idempotencyKey));
  }

  /** Orders as a patient customer does: an answer of 503 says that nothing has happened, and to try again. */
  async orderPatiently(customerId: string, items: Record<string, number>): Promise<Response> {
    const end = performance.now() + 20_000;
    for (let pauseMs = 20; ; pauseMs += 20) {
      const answer = await this.order(customerId, items);
      if (answer.status !== 503 || performance.now() > end) return answer;
      await delay(pauseMs);
    }
  }

  get(path: string): Promise<Response> {
    return settled(this.http.get(path));
  }

  async fault(participant: string, fault: object): Promise<void> {
    await this.http.put(`/demo/faults/${participant}`).send(fault).expect(204);
  }

  async repair(participant: string): Promise<void> {
    await this.http.delete(`/demo/faults/${participant}`).expect(204);
  }

  /** @returns the next event of this name. Ask before that happens which causes it. */
  async next<E extends keyof TransactionEventPayloads>(event: E): Promise<TransactionEventPayloads[E]> {
    const emitter = this.app.get(EventEmitter2);
    const [payload] = (await once(emitter as unknown as NodeJS.EventEmitter, event)) as [
      TransactionEventPayloads[E],
    ];
    return payload;
  }

  /** Asks until the answer is as wanted. */
  async until(path: string, isWanted: (answer: Response) => boolean): Promise<Response> {
    for (;;) {
      const answer = await this.get(path);
      if (isWanted(answer)) return answer;
    }
  }

  async holdings(): Promise<Holdings> {
    const stock = SKUS.map(async (sku) => {
      const { onHand, reserved } = (await this.get(`/inventory/${sku}`)).body;
      return [sku, { onHand, reserved }];
    });
    const accounts = CUSTOMERS.map(async (customerId) => {
      const { balance, held } = (await this.get(`/accounts/${customerId}`)).body;
      return [customerId, { balance: balance.amount, held: held.amount }];
    });
    return {
      stock: Object.fromEntries(await Promise.all(stock)),
      accounts: Object.fromEntries(await Promise.all(accounts)),
    };
  }
}

/** A request of supertest is sent when it is awaited; this one is sent at once. */
function settled(request: supertest.Test): Promise<Response> {
  return request.then((response) => response);
}
