import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestApplication } from '../support/application.js';
import { inPostgres } from '../support/storages.js';

const postgres = inPostgres();

const ORDERS = 200;

/**
 * The machine may be busy with other work, so these tests do not measure speed. They try orders that
 * conflict.
 */
const PATIENCE = {
  DTC_TIMEOUT_MS: '40000',
  DTC_PREPARE_TIMEOUT_MS: '20000',
  DTC_COMPLETION_TIMEOUT_MS: '20000',
  DTC_COMPLETION_WAIT_MS: '20000',
};

describe('200 orders of one customer for one product at the same moment, in PostgreSQL,', () => {
  let application: TestApplication;

  beforeEach(async () => {
    application = await TestApplication.startOn(postgres, PATIENCE);
  });

  afterEach(() => application.close());

  async function orderAll(stock: number): Promise<Record<string, number>> {
    await application.stock('usb-cable', stock);
    const answers = await Promise.all(
      Array.from({ length: ORDERS }, () => application.order('alice', { 'usb-cable': 1 })),
    );
    const counts: Record<string, number> = {};
    for (const { status, body } of answers) {
      const answer = status === 201 ? '201' : `${status} ${body.reasonCode ?? body.code}`;
      counts[answer] = (counts[answer] ?? 0) + 1;
    }
    return counts;
  }

  it('fault 61: are all confirmed, and no caller is told that a lock was not free', async () => {
    expect(await orderAll(1_000)).toEqual({ 201: ORDERS });
    const { stock, accounts } = await application.holdings();
    expect(stock['usb-cable']).toEqual({ onHand: 1_000 - ORDERS, reserved: 0 });
    expect(accounts.alice).toEqual({ balance: 500_000 - ORDERS * 990, held: 0 });
    expect(await application.prepared()).toBe(0);
  }, 60_000);

  it('get only OUT_OF_STOCK when none is left', async () => {
    expect(await orderAll(120)).toEqual({ 201: 120, '409 OUT_OF_STOCK': 80 });
    await application.until('/transactions?state=ABORTING', ({ body }) => body.transactions.length === 0);
    expect((await application.holdings()).stock['usb-cable']).toEqual({ onHand: 0, reserved: 0 });
    expect(await application.prepared()).toBe(0);
  }, 60_000);
});
