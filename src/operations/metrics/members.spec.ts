import { describe, expect, it } from 'vitest';
import { Cluster, LEASE_MS, type Member } from '../../../test/support/cluster.js';
import { branch } from '../../coordinator/index.js';
import { MetricSource } from '../../coordinator/observation/metrics/index.js';
import { Reporter } from '../../coordinator/observation/reporter.js';
import { NO_EVENTS, NO_LINES } from '../../coordinator/observation/silent-reporting.fixture.js';
import { ScriptedParticipant, settled } from '../../coordinator/testing/index.js';
import { CoordinatorMetrics } from './coordinator-metrics.js';
import { Scrape } from './metrics.fixture.js';

async function scrape({ coordinator }: Member): Promise<Scrape> {
  const source = new MetricSource(coordinator.runtime, new Reporter(NO_LINES, NO_EVENTS));
  return new Scrape(await new CoordinatorMetrics(source).text());
}

describe('The metrics of members', () => {
  it('show who is alive, who was adopted, and for how long what it has left is open', async () => {
    const bank = new ScriptedParticipant();
    const cluster = new Cluster({ bank });
    const [one, two] = (await cluster.startSteady(2)) as [Member, Member];
    const before = await scrape(two);
    expect(before.nonZero('dtc_members')).toEqual({ '{state="alive"}': 2 });
    expect(before.value('dtc_epochs_owned')).toBe(1);
    expect(before.value('dtc_lease_age_seconds')).toBeLessThanOrEqual(LEASE_MS / 5_000);
    expect(before.value('dtc_dead_epoch_oldest_seconds')).toBe(0);

    bank.script = { commit: 'throw' };
    void one.coordinator.transactions.run({ branches: [branch('bank', 1), branch('bank', 2)] });
    await settled();
    one.kill();
    await cluster.advance(2 * LEASE_MS);

    const after = await scrape(two);
    expect(after.nonZero('dtc_members')).toEqual({ '{state="alive"}': 1, '{state="adopted"}': 1 });
    expect(after.nonZero('dtc_adoptions_total')).toEqual({ '{of="lost"}': 1 });
    expect(after.value('dtc_epochs_owned')).toBe(2);
    expect(after.value('dtc_dead_epoch_oldest_seconds')).toBeGreaterThan(LEASE_MS / 1_000);

    bank.script = {};
    await cluster.advance(LEASE_MS);
    const settledNow = await scrape(two);
    expect(settledNow.nonZero('dtc_members')).toEqual({ '{state="alive"}': 1 });
    expect(settledNow.value('dtc_dead_epoch_oldest_seconds')).toBe(0);
    expect(settledNow.value('dtc_epochs_owned')).toBe(1);
  });

  it('show a clean stop as an epoch that was fenced before, and a fence of a living member', async () => {
    const cluster = new Cluster({ bank: new ScriptedParticipant() });
    const [one, two] = (await cluster.startSteady(2)) as [Member, Member];
    await one.log.members.leave();
    await cluster.advance(LEASE_MS);

    expect((await scrape(two)).nonZero('dtc_adoptions_total')).toEqual({ '{of="fenced"}': 1 });
    expect((await scrape(one)).value('dtc_member_returns_total')).toBe(1);
    expect((await scrape(one)).value('dtc_log_fenced')).toBe(0);
  });

  it('show a log that has lost records, and one that has moved', async () => {
    const cluster = new Cluster({ bank: new ScriptedParticipant() });
    const [one, two] = (await cluster.startSteady(2)) as [Member, Member];
    const { transactionId } = await one.coordinator.transactions.run({
      branches: [branch('bank', 1), branch('bank', 2)],
    });
    await cluster.advance(LEASE_MS);
    expect((await scrape(one)).value('dtc_log_behind')).toBe(0);
    cluster.store.failOver([transactionId]);
    await cluster.advance(2 * LEASE_MS);

    expect((await scrape(one)).value('dtc_log_behind')).toBe(1);
    expect((await scrape(one)).value('dtc_accepting')).toBe(0);
    expect((await scrape(two)).value('dtc_log_behind')).toBe(0);

    const { log } = two.coordinator.runtime;
    log.failed(Object.assign(new Error('It was made elsewhere.'), { code: 'DTC_LOG_MOVED' }));
    expect((await scrape(two)).value('dtc_log_moved')).toBe(1);
    log.succeeded();
    expect((await scrape(two)).value('dtc_log_moved')).toBe(0);
  });
});
