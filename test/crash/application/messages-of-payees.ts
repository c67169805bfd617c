import type { DynamicModule } from '@nestjs/common';
import { Pool } from 'pg';
import { OutboxModule, type OutboxStore } from '../../../src/outbox/index.js';
import { PostgresOutbox } from '../../../src/postgres/index.js';
import type { CrashPoints } from './crash-points.js';

/** No other relay is there, so what a killed one had taken may be taken at once. */
const LEASE_MS = 300;

/** The outbox of the payees, and a receiver that writes down what it gets. */
export class MessagesOfPayees {
  readonly outbox: PostgresOutbox;
  private readonly receiver: Pool;

  constructor(
    connection: string,
    private readonly points: CrashPoints,
  ) {
    this.outbox = new PostgresOutbox({ connection, name: 'payees' });
    this.receiver = new Pool({ connectionString: connection, application_name: 'receiver', max: 1 });
    this.receiver.on('error', () => {});
  }

  get relay(): DynamicModule {
    return OutboxModule.forRoot({
      stores: [this.crashing(this.outbox)],
      send: async ({ payload, transactionId }) => {
        const { transfer } = payload as { readonly transfer: string };
        await this.points.around('send', transactionId, () =>
          this.receiver.query('INSERT INTO delivered (transfer) VALUES ($1)', [transfer]),
        );
      },
      pollIntervalMs: 20,
      retryMinMs: 20,
    });
  }

  async close(): Promise<void> {
    await this.receiver.end();
  }

  /**
   * The store with crash points around what the relay does with messages; a relay that finds none comes by no
   * point.
   */
  private crashing(store: OutboxStore): OutboxStore {
    return new Proxy(store, {
      get: (_, name) => {
        if (name === 'claim')
          return async (limit: number) => {
            const messages = await store.claim(limit, LEASE_MS);
            for (const { transactionId } of messages) this.points.reached('after claim', transactionId);
            return messages;
          };
        if (name === 'record')
          return (attempts: Parameters<OutboxStore['record']>[0]) =>
            this.points.around('mark', undefined, () => store.record(attempts));
        const value: unknown = Reflect.get(store, name);
        return typeof value === 'function' ? value.bind(store) : value;
      },
    });
  }
}
