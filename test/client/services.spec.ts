import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type INestApplication, Injectable } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  DistributedTransaction,
  NotCommittedError,
  TransactionClientModule,
  TransactionManager,
  branch,
} from '../../src/client/index.js';
import { APPLICATION_OPTIONS, configureApp, createHttpAdapter } from '../../src/configure-app.js';
import { readCoordinatorConfiguration } from '../../src/coordinator-configuration.js';
import { COORDINATOR_BODY_LIMIT_BYTES, CoordinatorProgramModule } from '../../src/coordinator-program.js';
import { Participant, type Branch, type Vote, branchKey, refuse } from '../../src/host/index.js';
import { LogRecorder } from '../library/support/log-recorder.js';
import { TOKEN, startHost } from '../remote/support/services.js';
import { freePort } from '../../src/postgres-server/free-port.js';

interface Amount {
  readonly amount: number;
}

/** Holds what it has prepared, and counts what it has committed. */
abstract class Store {
  static left: Record<string, number> = {};
  private readonly held = new Map<string, number>();
  protected abstract readonly store: string;

  prepare(of: Branch<Amount>): Vote {
    const { amount } = of.payload;
    if (Store.left[this.store]! < amount) return refuse('TOO_FEW', 'too few are left');
    Store.left[this.store]! -= amount;
    this.held.set(branchKey(of), amount);
    return 'commit';
  }

  commit(of: Branch<Amount>): void {
    this.held.delete(branchKey(of));
  }

  rollback(of: Branch<Amount | undefined>): void {
    Store.left[this.store]! += this.held.get(branchKey(of)) ?? 0;
    this.held.delete(branchKey(of));
  }
}

@Participant({ name: 'inventory' })
class Inventory extends Store {
  protected readonly store = 'inventory';
}

@Participant({ name: 'payment' })
class Payment extends Store {
  protected readonly store = 'payment';
}

@Injectable()
class Orders {
  constructor(private readonly transactions: TransactionManager) {}

  @DistributedTransaction({ name: 'order', timeoutMs: 10_000 })
  async place(amount: number): Promise<void> {
    await this.transactions.enlist(branch(Inventory, { amount }));
    await this.transactions.enlist(branch(Payment, { amount: amount * 10 }));
  }
}

describe('Three services and a coordinator, each on its own', () => {
  const apps: INestApplication[] = [];
  let folder: string;
  let orders: Orders;

  beforeAll(async () => {
    Store.left = { inventory: 5, payment: 100 };
    folder = mkdtempSync(join(tmpdir(), 'services-'));
    const ports = [await freePort(), await freePort()];
    const configuration = readCoordinatorConfiguration({
      LOG_LEVEL: 'silent',
      DECISION_LOG_PATH: join(folder, 'decisions'),
      CALLER_TOKENS: 'orders:the-token-of-the-orders',
      PARTICIPANT_TOKENS: 'inventory:the-token-of-inventory,payment:the-token-of-the-payment',
      COORDINATOR_TOKEN: TOKEN,
      PARTICIPANT_ORIGINS: ports.map((port) => `http://127.0.0.1:${port}`).join(','),
    });
    const program = await Test.createTestingModule({
      imports: [CoordinatorProgramModule.forRoot(configuration)],
    }).compile();
    const coordinator = configureApp(
      program.createNestApplication<NestFastifyApplication>(
        createHttpAdapter(COORDINATOR_BODY_LIMIT_BYTES),
        APPLICATION_OPTIONS,
      ),
    );
    apps.push(coordinator);
    await coordinator.listen(0, '127.0.0.1');
    const url = `http://127.0.0.1:${(coordinator.getHttpServer().address() as AddressInfo).port}`;

    const hosts = [
      { participant: Inventory, token: 'the-token-of-inventory', port: ports[0]! },
      { participant: Payment, token: 'the-token-of-the-payment', port: ports[1]! },
    ];
    for (const { participant, token, port } of hosts) {
      const contact = {
        members: [url],
        credentials: token,
        address: `http://127.0.0.1:${port}/participants`,
        intervalMs: 50,
      };
      apps.push((await startHost([participant], { port, contact })).app);
    }

    const caller = await Test.createTestingModule({
      imports: [
        TransactionClientModule.forRoot({ members: [`${url}/dtc`], token: 'the-token-of-the-orders' }),
      ],
      providers: [Orders],
    })
      .setLogger(new LogRecorder())
      .compile();
    const app = caller.createNestApplication();
    apps.push(app);
    await app.init();
    orders = app.get(Orders);
    await registered(app.get(TransactionManager));
  });

  afterAll(async () => {
    for (const app of apps.toReversed()) await app.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** @returns when both hosts have registered, and have accepted the run of the coordinator. */
  async function registered(transactions: TransactionManager): Promise<void> {
    for (let isReady = false; !isReady;) {
      const trial = await transactions.begin();
      isReady = await Promise.all([
        trial.enlist(branch('inventory', { amount: 0 })),
        trial.enlist(branch('payment', { amount: 0 })),
      ]).then(
        () => true,
        ({ code }: { code: string }) => {
          expect(code).toMatch(/^DTC_(UNKNOWN_PARTICIPANT|PARTICIPANT_NOT_CLAIMED)$/);
          return false;
        },
      );
      await trial.rollback();
    }
  }

  it('commit together', async () => {
    await orders.place(2);
    expect(Store.left).toEqual({ inventory: 3, payment: 80 });
  });

  it('change nothing at all when one service refuses', async () => {
    const failed = orders.place(4);
    await expect(failed).rejects.toThrow(NotCommittedError);
    await expect(failed).rejects.toMatchObject({ outcome: { status: 'aborted', code: 'TOO_FEW' } });
    while (Store.left['payment'] !== 80) await new Promise(setImmediate);
    expect(Store.left).toEqual({ inventory: 3, payment: 80 });
  });
});
