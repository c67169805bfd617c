import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import request from 'supertest';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ParticipantRegistry, branch } from '../../src/coordinator/index.js';
import { ScriptedParticipant } from '../../src/coordinator/testing/index.js';
import { Accounts } from '../../src/participants/payment/accounts.js';
import { OrderBook } from '../../src/participants/order/order-book.js';
import { Stock } from '../../src/participants/inventory/stock.js';
import { CheckoutService } from './checkout.service.js';
import { DispatchPlan } from './dispatch-plan.js';
import { ShippingParticipant } from './shipping.participant.js';
import { ShopModule } from './shop.module.js';

const PURCHASE = { customerId: 'alice', sku: 'monitor', country: 'DE' };

let shop: NestFastifyApplication;

async function open(shipping?: ScriptedParticipant): Promise<void> {
  const builder = Test.createTestingModule({ imports: [ShopModule] });
  if (shipping !== undefined) builder.overrideProvider(ShippingParticipant).useValue(shipping);
  const module = await builder.compile();
  shop = module.createNestApplication<NestFastifyApplication>(new FastifyAdapter());
  await shop.init();
  await shop.getHttpAdapter().getInstance().ready();
}
afterEach(() => shop.close());

/** The data of the four services that a purchase changes. */
function holdings(): object {
  return {
    monitors: shop.get(Stock, { strict: false }).level('monitor'),
    alice: shop.get(Accounts, { strict: false }).find('alice'),
    places: shop.get(DispatchPlan, { strict: false }).placesTo('DE'),
  };
}

describe('a shop with a fourth service', () => {
  beforeEach(() => open());

  it('finds it like the three others', () => {
    const names = shop.get(ParticipantRegistry).list();
    expect(names.map(({ name }) => name).toSorted()).toEqual(['inventory', 'order', 'payment', 'shipping']);
  });

  it('buys and sends: all four have changed', async () => {
    const { orderId, outcome } = await shop.get(CheckoutService).buy(PURCHASE);

    expect(outcome.status).toBe('committed');
    expect(shop.get(OrderBook, { strict: false }).find(orderId)).toMatchObject({ customerId: 'alice' });
    expect(holdings()).toMatchObject({
      monitors: { onHand: 9, reserved: 0 },
      alice: { balance: 475_100, held: 0 },
      places: 9,
    });
    const { body } = await request(shop.getHttpServer()).get(`/shipments/${orderId}`).expect(200);
    expect(body).toEqual({ orderId, country: 'DE' });
  });

  it('cannot send: none of the four has changed', async () => {
    const before = structuredClone(holdings());

    const { orderId, outcome } = await shop.get(CheckoutService).buy({ ...PURCHASE, country: 'XX' });

    expect(outcome).toMatchObject({ status: 'aborted', participant: 'shipping', code: 'NOT_ALLOWED' });
    await request(shop.getHttpServer()).get(`/shipments/${orderId}`).expect(404);
    expect(shop.get(OrderBook, { strict: false }).find(orderId)).toBeUndefined();
    expect(holdings()).toEqual(before);
  });

  it('the last place goes to one of ten, and only that one pays', async () => {
    const checkout = shop.get(CheckoutService);
    const purchase = { ...PURCHASE, sku: 'keyboard', country: 'FR' };

    const results = await Promise.all(Array.from({ length: 10 }, () => checkout.buy(purchase)));

    const committed = results.filter(({ outcome }) => outcome.status === 'committed');
    expect(committed).toHaveLength(1);
    // The caller is told of an abort as soon as it is decided. Held goods come back a moment later.
    await vi.waitFor(() => {
      const { balance, held } = shop.get(Accounts, { strict: false }).find('alice')!;
      expect([balance, held]).toEqual([494_010, 0]);
    });
  });
});

describe('a shop whose shipping is scripted in a test', () => {
  it('fails to send after all have agreed, and sends when shipping has recovered', async () => {
    const shipping = ScriptedParticipant.flaky(2);
    await open(shipping);

    const { outcome } = await shop.get(CheckoutService).buy(PURCHASE);

    expect(outcome.status).toBe('committed');
    expect(shipping.count('commit')).toBe(3);
  });
});

it('the compiler checks what shipping is asked to do', () => {
  // @ts-expect-error -- a parcel needs a country
  expect(branch(ShippingParticipant, { orderId: 'o-1' }).payload).toEqual({ orderId: 'o-1' });
});
