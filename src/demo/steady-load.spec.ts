import { expect, it } from 'vitest';
import type { OrdersService } from '../orders/orders.service.js';
import { SteadyLoad } from './steady-load.js';
import type { Restocked, Supplies } from './supplies.js';

it('starts no traffic when the application ends while the first supplies are delivered', async () => {
  const delivery = Promise.withResolvers<Restocked>();
  const supplies = { restock: () => delivery.promise } as Pick<Supplies, 'restock'>;
  const load = new SteadyLoad({} as OrdersService, supplies as Supplies);

  const started = load.start({ perSecond: 50, forSeconds: 60 });
  load.onModuleDestroy();
  delivery.resolve({ pieces: 1, cents: 1 });
  await started;

  expect(load.state).toMatchObject({ running: false, plan: null, started: 0 });
});
