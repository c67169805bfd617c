import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { SharedMemoryLog } from '../../src/coordinator/testing/shared-memory-log.js';
import { SharedMemoryStore } from '../../src/coordinator/testing/shared-memory-store.js';
import { OrderParticipant } from '../../src/participants/order/order.participant.js';
import { TestApplication } from '../support/application.js';
import { type Room, inPostgres } from '../support/storages.js';

const postgres = inPostgres();

interface Members {
  readonly first: TestApplication;
  readonly second: TestApplication;
}

/** Two applications over one log and the same databases. */
const LOGS: readonly { readonly name: string; readonly start: (room: Room) => Promise<Members> }[] = [
  {
    name: 'in memory',
    start: async ({ environment }) => {
      const store = new SharedMemoryStore({ now: () => performance.now() });
      const [first, second] = await Promise.all(
        [1, 2].map(() => TestApplication.start(environment, undefined, new SharedMemoryLog(store))),
      );
      return { first: first!, second: second! };
    },
  },
  {
    name: 'in PostgreSQL',
    start: async ({ environment, databases }) => {
      const { DECISION_LOG_PATH: _, ...rest } = environment;
      const log = { DECISION_LOG: 'postgres', DECISION_LOG_URL: databases[0]!.url };
      const first = await TestApplication.start({ ...rest, ...log });
      return { first, second: await TestApplication.start({ ...rest, ...log }) };
    },
  },
];

const PRICE = 5_990;

describe.each(LOGS)('fault 1: one Idempotency-Key at two members over a log $name', ({ start }) => {
  let room: Room;
  let first: TestApplication;
  let second: TestApplication;

  beforeAll(async () => {
    room = await postgres.open();
    // A member that waits for another one waits as long as a slow machine needs.
    const patience = { DTC_PREPARE_TIMEOUT_MS: '20000', DTC_TIMEOUT_MS: '20000' };
    ({ first, second } = await start({ ...room, environment: { ...room.environment, ...patience } }));
  });

  afterAll(async () => {
    await Promise.all([first.close(), second.close()]);
    await room.remove();
  });

  async function balance(): Promise<number> {
    const { body } = await first.get('/accounts/alice');
    return body.balance.amount as number;
  }

  it('is one order, whichever member is asked, and is refused with another body', async () => {
    const before = await balance();
    const placed = await first.order('alice', { keyboard: 1 }, 'key-1');
    const repeated = await second.order('alice', { keyboard: 1 }, 'key-1');
    const other = await second.order('alice', { keyboard: 2 }, 'key-1');

    expect([placed.status, repeated.status]).toEqual([201, 201]);
    expect(repeated.body).toEqual(placed.body);
    expect(other.body).toMatchObject({ status: 422, code: 'DTC_IDEMPOTENCY_KEY_REUSED' });
    expect(await balance()).toBe(before - PRICE);
  });

  it('answers where to ask while the other member places the order, and has its order after that', async () => {
    const before = await balance();
    const gate = Promise.withResolvers<void>();
    const participant = first.app.get(OrderParticipant);
    const prepare = participant.prepare.bind(participant);
    const asked = Promise.withResolvers<string>();
    vi.spyOn(participant, 'prepare').mockImplementation(async (given) => {
      asked.resolve(given.transactionId);
      await gate.promise;
      return prepare(given);
    });
    const placing = first.order('alice', { keyboard: 1 }, 'key-2');
    const transactionId = await asked.promise;

    const pending = await second.order('alice', { keyboard: 1 }, 'key-2');
    const other = await second.order('alice', { keyboard: 2 }, 'key-2');
    const otherHere = await first.order('alice', { keyboard: 2 }, 'key-2');

    expect(pending.status).toBe(202);
    expect(pending.headers['location']).toBe(`/transactions/${transactionId}`);
    expect(pending.body).toMatchObject({ transactionId, status: 'pending', decision: 'unknown' });
    // The fingerprint is in the reservation, so that no member has to wait for an outcome.
    expect(other.body).toMatchObject({ status: 422, code: 'DTC_IDEMPOTENCY_KEY_REUSED' });
    expect(otherHere.body).toMatchObject({ status: 422, code: 'DTC_IDEMPOTENCY_KEY_REUSED' });
    gate.resolve();
    const placed = await placing;
    expect(placed.status).toBe(201);
    expect(placed.body).toMatchObject({ orderId: pending.body.orderId, transactionId });
    expect((await second.order('alice', { keyboard: 1 }, 'key-2')).body).toEqual(placed.body);
    expect((await second.get('/transactions')).body.transactions).toEqual([]);
    expect(await balance()).toBe(before - PRICE);
  });

  it('is free at every member once the order was refused', async () => {
    const before = await balance();
    const refused = await first.order('carol', { keyboard: 1 }, 'key-3');
    expect(refused.status).toBe(409);

    // The other member has told the log, or is about to.
    let placed = await second.order('alice', { keyboard: 1 }, 'key-3');
    while (placed.status !== 201) placed = await second.order('alice', { keyboard: 1 }, 'key-3');

    expect(await balance()).toBe(before - PRICE);
  });
});
