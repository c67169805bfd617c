import { describe, expect, it } from 'vitest';
import { branch } from '../../coordinator/participant/branch-request.js';
import { ManualClock, ScriptedParticipant } from '../../coordinator/testing/index.js';
import { createMeasured } from './metrics.fixture.js';
import { latencyOf, measurementsOf } from '../../coordinator/observation/metrics/participant-measurements.js';

const NONE = { count: 0, p50Ms: null, p99Ms: null };

/** A coordinator whose participant takes 30 ms to prepare and 80 ms to complete. */
function slow(script: ConstructorParameters<typeof ScriptedParticipant>[0] = {}) {
  const clock = new ManualClock();
  const participant = new ScriptedParticipant(
    { prepare: { delayMs: 30 }, commit: { delayMs: 80 }, rollback: { delayMs: 80 }, ...script },
    clock,
  );
  const coordinator = createMeasured({ clock, participants: { slow: participant } });
  const run = async (ms = 1_000): Promise<void> => {
    const outcome = coordinator.transactions.run({ branches: [branch('slow', 1)] });
    await clock.advance(ms, 1);
    await outcome;
  };
  return { ...coordinator, run, latency: () => latencyOf(coordinator.participants.resolve('slow')) };
}

describe('The durations', () => {
  it('of a transaction and of its phases are counted when it has ended, in seconds', async () => {
    const { run, scrape } = slow();
    await run();

    const found = await scrape();
    const whole = 'dtc_transaction_duration_seconds';
    expect(found.value(`${whole}_sum{decision="commit"}`)).toBeCloseTo(0.11, 6);
    expect(found.value(`${whole}_bucket{decision="commit",le="0.1"}`)).toBe(0);
    expect(found.value(`${whole}_bucket{decision="commit",le="0.2"}`)).toBe(1);
    expect(found.value(`${whole}_bucket{decision="commit",le="60"}`)).toBe(1);
    expect(found.value(`${whole}_bucket{decision="commit",le="+Inf"}`)).toBe(1);
    expect(found.value(`${whole}_count{decision="commit"}`)).toBe(1);
    const phases = found.nonZero('dtc_phase_duration_seconds_sum');
    expect(phases['{participant="slow",phase="prepare"}']).toBeCloseTo(0.03, 6);
    expect(phases['{participant="slow",phase="completion"}']).toBeCloseTo(0.08, 6);
  });

  it('of a completion include the failed attempts and the pauses between them', async () => {
    const { run, latency } = slow({ commit: ['throw', 'throw', 'yes'] });
    await run();

    const { completion } = latency();
    expect(completion.count).toBe(1);
    expect(completion.p50Ms).toBeGreaterThan(50);
    expect(completion.p50Ms).toBeLessThan(100);
  });

  it('of an abort include its rollback, and for a call without an answer the time of waiting', async () => {
    const { run, latency, scrape } = slow({ prepare: 'hang' });
    await run(3_000);

    expect(latency().prepare).toMatchObject({ count: 1, p99Ms: 1_990 });
    expect(latency().completion).toMatchObject({ count: 1 });
    const found = await scrape();
    expect(found.nonZero('dtc_phase_duration_seconds_count')).toEqual({
      '{participant="slow",phase="completion"}': 1,
    });
    const sums = found.nonZero('dtc_transaction_duration_seconds_sum');
    expect(sums['{decision="abort"}']).toBeCloseTo(2.08, 6);
  });

  it('of a completion include each attempt without an answer', async () => {
    const { run, latency, transactions } = slow({ commit: 'hang' });
    await run(5_000);
    const { attempts } = transactions.list()[0]!.branches[0]!;
    expect(attempts).toBeGreaterThan(1);
    expect(latency().completion.count).toBe(attempts - 1);
    expect(latency().completion.p50Ms).toBeGreaterThan(1_000);
  });

  it('of the latency are those of the latest steps, and of the metric those since the start', async () => {
    const { run, latency, scrape, participants } = slow();
    const { recentPrepares } = measurementsOf(participants.resolve('slow'));
    await run();
    for (let step = 0; step < 10; step++) recentPrepares.step();
    expect(latency().prepare.count).toBe(0);
    await run();
    expect(latency().prepare).toMatchObject({ count: 1 });
    const counts = (await scrape()).nonZero('dtc_phase_duration_seconds_count');
    expect(counts['{participant="slow",phase="prepare"}']).toBe(2);
  });

  it('of a participant that refused include its answer, and no completion', async () => {
    const { run, latency } = slow({ prepare: { delayMs: 30, then: 'no' } });
    await run();

    expect(latency().prepare).toMatchObject({ count: 1 });
    expect(latency().completion).toEqual(NONE);
  });

  it('of a one-phase commit are those of its only call', async () => {
    const { run, latency, scrape } = slow({ commitOnePhase: { delayMs: 70 } });
    await run();

    expect(latency().prepare).toEqual(NONE);
    const sums = (await scrape()).nonZero('dtc_phase_duration_seconds_sum');
    expect(Object.keys(sums)).toEqual(['{participant="slow",phase="completion"}']);
    expect(sums['{participant="slow",phase="completion"}']).toBeCloseTo(0.07, 6);
  });

  it('are separate when transactions have different participants each time', async () => {
    const { transactions, participants, scrape } = createMeasured();
    await transactions.run({ branches: [branch('stock', 1)] });
    await transactions.run({ branches: [branch('payment', 1), branch('stock', 1)] });

    expect(latencyOf(participants.resolve('stock')).prepare.count).toBe(2);
    expect(latencyOf(participants.resolve('payment')).completion.count).toBe(1);
    const counts = (await scrape()).nonZero('dtc_phase_duration_seconds_count');
    expect(counts).toEqual({
      '{participant="stock",phase="prepare"}': 2,
      '{participant="stock",phase="completion"}': 2,
      '{participant="payment",phase="prepare"}': 1,
      '{participant="payment",phase="completion"}': 1,
    });
  });

  it('become quantiles of the latency of a participant, in milliseconds', async () => {
    const { run, latency } = slow();
    expect(latency()).toEqual({ prepare: NONE, completion: NONE });
    await run();

    // Between the bounds of its bucket: 20 to 50, and 50 to 100.
    expect(latency()).toEqual({
      prepare: { count: 1, p50Ms: 35, p99Ms: 49.7 },
      completion: { count: 1, p50Ms: 75, p99Ms: 99.5 },
    });
  });
});
