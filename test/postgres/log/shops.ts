import { setTimeout as pause } from 'node:timers/promises';
import { Test, type TestingModule } from '@nestjs/testing';
import {
  CoordinatorModule,
  type CoordinatorModuleOptions,
  ParticipantRegistry,
  TransactionManager,
  branch,
} from '../../../src/coordinator/index.js';
import { CoordinatorRuntime } from '../../../src/coordinator/execution/coordinator-runtime.js';
import { ScriptedParticipant } from '../../../src/coordinator/testing/index.js';
import { PostgresDecisionLog, type PostgresLogSettings } from '../../../src/postgres/index.js';
import { preparedAt } from '../../support/cluster.js';

/** The lease of each member, in milliseconds. */
export const LEASE_MS = 1_000;
/** How many transactions of one member are under way at the same time. */
const AT_ONCE = 4;
/** After a refusal the next transaction comes so many milliseconds later. */
const AGAIN_MS = 20;

const SILENCE = { log() {}, warn() {}, error() {} };

/**
 * What the members of a coordinator work with: two participants in this process, which outlive every member.
 */
export class Shops {
  readonly stock = new ScriptedParticipant();
  readonly payment = new ScriptedParticipant();
  /** What callers were told, by transaction. */
  readonly told = new Map<string, string>();
  private readonly members: Shop[] = [];
  private isLoaded = false;
  private loads: Promise<void>[] = [];

  async start(connection: string, settings: PostgresLogSettings = {}): Promise<Shop> {
    const log = new PostgresDecisionLog({
      connection,
      ...settings,
    });
    const options: CoordinatorModuleOptions = {
      name: 'shop',
      log,
      leaseMs: LEASE_MS,
      recoveryIntervalMs: 50,
      retryBaseMs: 20,
      retryCapMs: 100,
      shutdownGraceMs: 500,
    };
    const application = await Test.createTestingModule({ imports: [CoordinatorModule.forRoot(options)] })
      .setLogger(SILENCE)
      .compile();
    await application.init();
    const registry = application.get(ParticipantRegistry);
    for (const [name, target] of Object.entries({ stock: this.stock, payment: this.payment })) {
      registry.register(
        {
          prepare: (given) => target.prepare(given),
          commit: (given) => target.commit(given),
          rollback: (given) => target.rollback(given),
          recover: async () => preparedAt(target),
          preparesDurably: true,
        },
        { name },
      );
    }
    const shop = new Shop(application, this);
    this.members.push(shop);
    return shop;
  }

  /** Every member begins transactions from now on. */
  load(): void {
    this.isLoaded = true;
    this.loads = this.members.flatMap((member) =>
      Array.from({ length: AT_ONCE }, async () => {
        while (this.isLoaded) if (!(await member.order())) await pause(AGAIN_MS);
      }),
    );
  }

  /** Begins no more, and waits until each caller was answered. */
  async unload(): Promise<void> {
    this.isLoaded = false;
    await Promise.all(this.loads);
  }

  /** The transactions of which callers were told this. */
  toldOf(status: string): string[] {
    return [...this.told].flatMap(([id, given]) => (given === status ? [id] : []));
  }

  /** What is not as it has to be: transactions with two outcomes, or with another one than was told. */
  faults(): string[] {
    const ids = new Set(
      [...this.stock.effects.keys(), ...this.payment.effects.keys()].map((key) => key.split('/')[0]!),
    );
    return [...ids].flatMap((id) => {
      const effects = [this.stock.effectOn(id, 'stock'), this.payment.effectOn(id, 'payment')];
      const committed = effects.filter((effect) => effect === 'committed').length;
      const expected = { committed: [2], aborted: [0] }[this.told.get(id) ?? ''] ?? [0, 2];
      const isRight = expected.includes(committed) && !effects.includes('prepared');
      return isRight ? [] : [`${id}: told ${this.told.get(id)}, is ${effects.join(' and ')}`];
    });
  }

  outcomeAt(member: Shop, id: string): Promise<unknown> {
    return member.application.get(TransactionManager).outcomeOf(id);
  }

  async close(): Promise<void> {
    await this.unload();
    await Promise.all(this.members.splice(0).map(({ application }) => application.close()));
  }
}

/** One member. */
export class Shop {
  readonly runtime: CoordinatorRuntime;
  private readonly transactions: TransactionManager;

  constructor(
    readonly application: TestingModule,
    private readonly shops: Shops,
  ) {
    this.runtime = application.get(CoordinatorRuntime);
    this.transactions = application.get(TransactionManager);
  }

  get epoch(): number {
    return this.runtime.log.epoch;
  }

  /** Runs one transaction, and notes what its caller is told. @returns whether it was begun. */
  async order(): Promise<boolean> {
    try {
      const { transactionId, status } = await this.transactions.run({
        branches: [branch('stock', 1), branch('payment', 1)],
        timeoutMs: 5_000,
      });
      this.shops.told.set(transactionId, status);
      return true;
    } catch {
      return false;
    }
  }
}
