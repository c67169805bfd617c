import { describe, expect, it } from 'vitest';
import { needingAttention } from '../../coordinator/observation/attention.js';
import { branch } from '../../coordinator/participant/branch-request.js';
import { settled } from '../../coordinator/testing/index.js';
import { createMeasured } from './metrics.fixture.js';

const BOTH = { branches: [branch('stock', 1), branch('payment', 1)] };

/** A vote for ten seconds. */
const FOR_TEN_SECONDS = { answer: { vote: 'commit', validForMs: 10_000 } };

describe('The metrics of votes that expire', () => {
  it('show a branch whose commit fails from half of its time on, and count it once it has expired', async () => {
    const { transactions, payment, clock, recover, scrape, runtime } = createMeasured({ maxAttempts: 1_000 });
    payment.script = { prepare: FOR_TEN_SECONDS, commit: 'throw' };
    const running = transactions.run(BOTH);
    const attention = () => needingAttention(runtime.registry, clock.now()).length;
    await clock.advance(4_990);
    expect((await scrape()).nonZero('dtc_votes_expiring')).toEqual({});
    expect(attention()).toBe(0);

    await clock.advance(10);
    expect((await scrape()).nonZero('dtc_votes_expiring')).toEqual({ '{participant="payment"}': 1 });
    expect((await scrape()).nonZero('dtc_votes_expired_total')).toEqual({});
    expect(attention()).toBe(1);

    await clock.advance(10_000);
    const missed = { '{participant="payment",when="after-decision"}': 1 };
    expect((await scrape()).nonZero('dtc_votes_expiring')).toEqual({ '{participant="payment"}': 1 });
    expect((await scrape()).nonZero('dtc_votes_expired_total')).toEqual(missed);

    payment.script = {};
    await recover();
    await clock.advance(10_000);
    expect(await running).toMatchObject({ status: 'pending' });
    expect((await scrape()).nonZero('dtc_votes_expiring')).toEqual({});
    expect((await scrape()).nonZero('dtc_votes_expired_total')).toEqual(missed);
  });

  it('show a prepared branch that waits for another vote, and count its expiry by itself', async () => {
    const { transactions, stock, payment, clock, scrape } = createMeasured({
      timeoutMs: 60_000,
      prepareTimeoutMs: 60_000,
    });
    stock.script = { prepare: 'hang' };
    payment.script = { prepare: FOR_TEN_SECONDS };
    const running = transactions.run(BOTH);
    await clock.advance(5_000);
    expect((await scrape()).nonZero('dtc_votes_expiring')).toEqual({ '{participant="payment"}': 1 });
    await clock.advance(5_000);
    expect(await running).toMatchObject({ status: 'aborted', cause: 'expired' });
    await settled();
    const found = await scrape();
    expect(found.nonZero('dtc_votes_expiring')).toEqual({});
    expect(found.nonZero('dtc_votes_expired_total')).toEqual({
      '{participant="payment",when="before-decision"}': 1,
    });
  });

  it('are still when the branch is completed in time', async () => {
    const { transactions, payment, clock, scrape } = createMeasured();
    payment.script = { prepare: FOR_TEN_SECONDS };
    await transactions.run(BOTH);
    await clock.advance(20_000, 100);
    const found = await scrape();
    expect(found.nonZero('dtc_votes_expiring')).toEqual({});
    expect(found.nonZero('dtc_votes_expired_total')).toEqual({});
  });
});
