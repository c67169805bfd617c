import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ScriptedLog } from '../../../test/faults/scripted-log.js';
import { SqliteDecisionLog } from '../../sqlite/index.js';
import { branch } from '../../coordinator/participant/branch-request.js';
import type { PreparedBranch } from '../../coordinator/participant/participant.js';
import { ScriptedParticipant, settled } from '../../coordinator/testing/index.js';
import { VERSION } from '../../coordinator/version.js';
import { createMeasured } from './metrics.fixture.js';
import { METRICS } from '../../coordinator/observation/metrics/index.js';
import { claimOf, idOf } from '../../../test/support/identity.js';

const BOTH = { branches: [branch('stock', 1), branch('payment', 1)] };
const CLAIM = claimOf({ epoch: 7 });

class Listing extends ScriptedParticipant {
  listed: readonly PreparedBranch[] = [];

  recover(): readonly PreparedBranch[] {
    return this.listed;
  }
}

describe('CoordinatorMetrics', () => {
  it('have every series right after the start, all 0 except those that describe the start', async () => {
    const { scrape } = createMeasured({ log: new ScriptedLog({ claim: CLAIM }) });
    const { series, text } = await scrape();

    for (const { name, help, type } of METRICS) {
      expect(text).toContain(`# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`);
    }
    const names = new Set(Array.from(series.keys(), (key) => key.replace(/(_count)?(\{.*)?$/, '')));
    const absent = METRICS.filter(({ name }) => !names.has(name)).map(({ name }) => name);
    expect(absent).toEqual(['dtc_log_flush_duration_seconds', 'dtc_log_flush_records']);
    expect(Object.fromEntries([...series].filter(([, value]) => value !== 0))).toEqual({
      [`dtc_coordinator_info{name="coordinator",version="${VERSION}",durable="true"}`]: 1,
      dtc_epoch: 7,
      dtc_accepting: 1,
      dtc_transactions_in_flight_limit: 10_000,
      dtc_log_up: 1,
      'dtc_participant_registered{participant="stock"}': 1,
      'dtc_participant_registered{participant="payment"}': 1,
    });
  });

  it('keep their series, whatever happens and whatever callers choose', async () => {
    const { transactions, stock, scrape, clock, recover } = createMeasured({ maxAttempts: 1 });
    const before = [...(await scrape()).series.keys()];
    stock.script = { prepare: ['yes', 'throw', 'no', 'yes'], commit: ['throw', 'yes'] };
    for (let index = 0; index < 5; index++) {
      const branches = [branch('stock', 1, { branchId: `b${index}` }), branch('payment', 1)];
      const outcome = transactions.run({ name: `called "by" ${index}\n`, branches });
      await clock.advance(3_000);
      await outcome;
    }
    await recover();

    const after = await scrape();
    expect([...after.series.keys()]).toEqual(before);
    expect(after.text).not.toMatch(/called|b0|coordinator\.\d/);
  });

  it('show how many transactions are in flight and in doubt, and for how long, without ended or stalled ones', async () => {
    let records = 0;
    const append = (write: () => void): void | Promise<void> =>
      ++records > 2 ? new Promise(() => {}) : write();
    const { transactions, stock, clock, scrape } = createMeasured({
      log: new ScriptedLog({ append }),
      maxAttempts: 1,
    });
    stock.script = { commit: ['yes', 'throw'] };
    await transactions.run(BOTH);
    void transactions.run(BOTH);
    await clock.advance(100);
    transactions.begin();
    await clock.advance(500);
    void transactions.run(BOTH);
    await clock.advance(1_500);

    const found = await scrape();
    expect(found.value('dtc_transactions_in_flight')).toBe(2);
    expect(found.value('dtc_in_flight_oldest_seconds')).toBe(2);
    expect(found.value('dtc_transactions_in_doubt')).toBe(1);
    expect(found.value('dtc_in_doubt_oldest_seconds')).toBe(1.5);
    expect(found.value('dtc_transactions_stalled')).toBe(1);
    expect(found.value('dtc_stalled_oldest_seconds')).toBe(2.1);
  });

  it('show stalled transactions, for how long, and the number of attempts, until recovery has ended them', async () => {
    const { transactions, stock, clock, recover, scrape } = createMeasured({ maxAttempts: 2 });
    stock.script = { commit: ['throw', 'hang', 'throw', 'yes'] };
    void transactions.run(BOTH);
    await clock.advance(10_000);

    let found = await scrape();
    expect(found.value('dtc_transactions_in_flight')).toBe(0);
    expect(found.value('dtc_transactions_stalled')).toBe(1);
    expect(found.value('dtc_stalled_oldest_seconds')).toBe(10);
    expect(found.nonZero('dtc_branches_stalled')).toEqual({ '{participant="stock"}': 1 });
    expect(found.nonZero('dtc_failed_attempts_total')).toEqual({ '{participant="stock"}': 2 });
    expect(found.nonZero('dtc_timeouts_total')).toEqual({ '{participant="stock"}': 1 });
    expect(found.value('dtc_recovery_passes_total')).toBe(0);

    await recover();
    await recover();
    found = await scrape();
    expect(found.value('dtc_recovery_passes_total')).toBe(2);
    expect(found.nonZero('dtc_failed_attempts_total')).toEqual({ '{participant="stock"}': 3 });
    expect(found.value('dtc_transactions_stalled')).toBe(0);
    expect(found.value('dtc_stalled_oldest_seconds')).toBe(0);
    expect(found.nonZero('dtc_branches_stalled')).toEqual({});
  });

  it('count answers to prepare that came after the abort', async () => {
    const { transactions, stock, payment, scrape } = createMeasured();
    const { promise, resolve } = Promise.withResolvers<void>();
    stock.script = { prepare: { until: promise } };
    payment.script = { prepare: 'no' };
    await transactions.run(BOTH);
    resolve();
    await settled();

    const found = await scrape();
    expect(found.nonZero('dtc_late_answers_total')).toEqual({ '{participant="stock"}': 1 });
    expect(found.nonZero('dtc_votes_total')).toEqual({ '{participant="payment",vote="abort"}': 1 });
  });

  it('show unfinished transactions and missing participants after a restart', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'metrics-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const crashed = new SqliteDecisionLog({ path: folder });
    const first = createMeasured({ log: crashed, claim: await crashed.open('coordinator'), maxAttempts: 1 });
    first.stock.script = { commit: 'throw' };
    first.participants.register(new ScriptedParticipant({ commit: 'throw' }), { name: 'billing' });
    const outcome = first.transactions.run({ branches: [...BOTH.branches, branch('billing', 1)] });
    await vi.waitFor(() => expect(first.runtime.registry.unsettled.size).toBe(1));
    let found = await first.scrape();
    expect(found.value('dtc_log_flush_duration_seconds_count')).toBeGreaterThan(0);
    expect(found.value('dtc_log_flush_records_sum')).toBeGreaterThan(0);
    await crashed.close();

    const log = new SqliteDecisionLog({ path: folder });
    onTestFinished(() => log.close());
    const second = createMeasured({ log, claim: await log.open('coordinator') });
    found = await second.scrape();
    expect(found.value('dtc_recovering')).toBe(1);
    expect(found.value('dtc_transactions_stalled')).toBe(1);
    expect(found.value('dtc_stalled_oldest_seconds')).toBe(0);
    expect(found.nonZero('dtc_branches_stalled')).toEqual({
      '{participant="stock"}': 1,
      '{participant="billing"}': 1,
    });
    expect(found.value('dtc_participant_registered{participant="billing"}')).toBe(0);
    expect(found.nonZero('dtc_transactions_total')).toEqual({});
    expect(found.value('dtc_log_flush_duration_seconds_count')).toBe(0);

    await second.recover();
    found = await second.scrape();
    expect(found.value('dtc_recovering')).toBe(0);
    expect(found.nonZero('dtc_branches_stalled')).toEqual({ '{participant="billing"}': 1 });

    second.participants.register(new ScriptedParticipant(), { name: 'billing' });
    await second.recover();
    found = await second.scrape();
    expect(found.value('dtc_participant_registered{participant="billing"}')).toBe(1);
    expect(found.value('dtc_transactions_stalled')).toBe(0);
    // No caller was told again, and its start is not known.
    expect(found.nonZero('dtc_transactions_total')).toEqual({});
    expect(found.value('dtc_transaction_duration_seconds_count{decision="commit"}')).toBe(0);
    await first.clock.advance(10_000);
    expect(await outcome).toMatchObject({ status: 'pending' });
  });

  it('count orphans, and failed lists', async () => {
    const listing = new Listing();
    const { recover, clock, scrape } = createMeasured({
      participants: { listing },
      log: new ScriptedLog({ claim: CLAIM }),
    });
    listing.listed = [{ transactionId: idOf('coordinator', 3, 1), branchId: 'listing' }];
    await recover();
    await clock.advance(10_000);
    await recover();
    await recover();
    let found = await scrape();
    expect(found.value('dtc_orphans_total')).toBe(1);
    expect(found.value('dtc_completions_total{participant="listing",decision="abort"}')).toBe(1);
    expect(found.value('dtc_transaction_duration_seconds_count{decision="abort"}')).toBe(0);

    vi.spyOn(listing, 'recover').mockImplementation(() => {
      throw new Error('the connection was cut');
    });
    await recover();
    found = await scrape();
    expect(found.nonZero('dtc_orphan_scan_failures_total')).toEqual({ '{participant="listing"}': 1 });
  });

  it('show the number of undecidable branches, until there are none', async () => {
    const listing = new Listing();
    const { recover, scrape } = createMeasured({
      participants: { listing },
      log: new ScriptedLog({ claim: { ...CLAIM, durable: false } }),
    });
    const undecidable = 'dtc_undecidable_branches{participant="listing"}';
    listing.listed = [{ transactionId: idOf('coordinator', 3, 1), branchId: 'listing' }];
    await recover();
    expect((await scrape()).value(undecidable)).toBe(1);

    listing.listed = [];
    await recover();
    expect((await scrape()).value(undecidable)).toBe(0);
  });

  it('show how many branches of other coordinators stay prepared', async () => {
    const listing = new Listing();
    const { recover, scrape, clock } = createMeasured({
      participants: { listing },
      log: new ScriptedLog({ claim: CLAIM }),
      orphanSafetyMs: 1_000,
    });
    const foreign = 'dtc_foreign_branches{participant="listing"}';
    listing.listed = [{ transactionId: idOf('bank', 3, 1), branchId: 'listing' }];
    await recover();
    expect((await scrape()).value(foreign)).toBe(0);

    await clock.advance(1_000);
    await recover();
    expect((await scrape()).value(foreign)).toBe(1);
    expect((await scrape()).value('dtc_undecidable_branches{participant="listing"}')).toBe(0);
  });

  it('show whether the log takes records, and whether the claim on it holds', async () => {
    const { runtime, scrape } = createMeasured();
    runtime.log.failed(new Error('no space left'));
    let found = await scrape();
    expect(found.value('dtc_log_up')).toBe(0);
    expect(found.value('dtc_log_restart_needed')).toBe(0);
    expect(found.value('dtc_accepting')).toBe(0);

    runtime.log.succeeded();
    found = await scrape();
    expect(found.value('dtc_log_up')).toBe(1);
    runtime.log.failed(Object.assign(new Error('a flush failed'), { code: 'DTC_LOG_BROKEN' }));
    runtime.log.succeeded();
    found = await scrape();
    expect(found.value('dtc_log_up')).toBe(0);
    expect(found.value('dtc_log_restart_needed')).toBe(1);
    runtime.log.lose();
    found = await scrape();
    expect(found.value('dtc_log_up')).toBe(0);
    expect(found.value('dtc_log_fenced')).toBe(1);
  });

  it('show paused participants, and whether the coordinator is drained', async () => {
    const { runtime, participants, scrape } = createMeasured();
    participants.resolve('stock').paused = { since: 1, by: 'alice', reason: 'maintenance' };
    runtime.admission.isDraining = true;

    const found = await scrape();
    expect(found.nonZero('dtc_participant_paused')).toEqual({ '{participant="stock"}': 1 });
    expect(found.value('dtc_draining')).toBe(1);
    expect(found.value('dtc_accepting')).toBe(0);
  });

  it('show a participant that does not answer, until it does, or nothing is known of it any more', async () => {
    const { transactions, stock, clock, scrape } = createMeasured({ prepareTimeoutMs: 1_000 });
    const silent = async (): Promise<object> => (await scrape()).nonZero('dtc_participant_silent');
    stock.script = { prepare: 'hang' };
    const miss = async (): Promise<void> => {
      const outcomes = [1, 2, 3].map(() => transactions.run(BOTH));
      await clock.advance(1_000);
      await Promise.all(outcomes);
    };
    await miss();
    expect(await silent()).toEqual({ '{participant="stock"}': 1 });
    stock.script = {};
    await transactions.run(BOTH);
    expect(await silent()).toEqual({});

    stock.script = { prepare: 'hang' };
    await miss();
    await clock.advance(1_999);
    expect(await silent()).toEqual({ '{participant="stock"}': 1 });
    await clock.advance(1);
    expect(await silent()).toEqual({});
  });

  it('name each participant once, even if an earlier one of its name still owes a completion', async () => {
    const { transactions, participants, stock, clock, scrape } = createMeasured({ maxAttempts: 1 });
    stock.script = { commit: 'throw' };
    void transactions.run(BOTH);
    await clock.advance(1_000);
    participants.unregister('stock');
    expect((await scrape()).value('dtc_participant_registered{participant="stock"}')).toBe(0);

    participants.register(new ScriptedParticipant(), { name: 'stock' });
    const found = await scrape();
    expect(found.value('dtc_participant_registered{participant="stock"}')).toBe(1);
    expect(found.value('dtc_branches_stalled{participant="stock"}')).toBe(1);
    expect(found.value('dtc_failed_attempts_total{participant="stock"}')).toBe(0);
  });

  it('that cannot be read do not affect the others, and count as a defect', async () => {
    const { runtime, reporter, scrape } = createMeasured();
    const told = vi.spyOn(reporter, 'defect');
    vi.spyOn(runtime.admission, 'isOpen', 'get').mockImplementation(() => {
      throw new Error('broken');
    });

    const found = await scrape();
    expect(found.series.has('dtc_accepting')).toBe(false);
    expect(found.value('dtc_log_up')).toBe(1);
    expect(found.value('dtc_defects_total')).toBe(1);
    expect(told).toHaveBeenCalledExactlyOnceWith(expect.any(Error), 'reading the metric dtc_accepting');
  });

  it('include those of the process only on request', async () => {
    const { metrics, scrape } = createMeasured();
    expect((await scrape()).text).not.toContain('process_cpu');

    metrics.includeProcess();
    metrics.includeProcess();
    expect((await scrape()).value('process_cpu_seconds_total')).toBeGreaterThan(0);
  });
});
