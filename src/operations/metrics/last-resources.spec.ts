import { describe, expect, it } from 'vitest';
import { branch } from '../../coordinator/participant/branch-request.js';
import { ScriptedLastResource, settled } from '../../coordinator/testing/index.js';
import { createMeasured } from './metrics.fixture.js';

describe('The metrics of last resources', () => {
  it('show how many are awaited and for how long, from the call on, and not while others vote', async () => {
    const { transactions, participants, payment, clock, recover, scrape } = createMeasured({
      maxAttempts: 1,
      prepareTimeoutMs: 1_000,
    });
    const shop = new ScriptedLastResource({ commit: 'hang-after', inquire: 'unknown' });
    participants.register(shop, { name: 'shop', lastResource: true });
    const gate = Promise.withResolvers<void>();
    payment.script = { prepare: { until: gate.promise } };
    const read = async () => {
      const found = await scrape();
      return [found.value('dtc_last_resources_awaited'), found.value('dtc_last_resource_oldest_seconds')];
    };
    const running = transactions.run({ branches: [branch('payment', 1), branch('shop', 1)] });
    await settled();
    expect(await read()).toEqual([0, 0]);
    await clock.advance(500);
    gate.resolve();
    await settled();
    expect(await read()).toEqual([1, 0]);
    await clock.advance(2_500);
    expect(await read()).toEqual([1, 2.5]);

    shop.script = {};
    await recover();
    expect(await read()).toEqual([0, 0]);
    await clock.advance(30_000);
    expect(await running).toMatchObject({ status: 'pending' });
  });
});
