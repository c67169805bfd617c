import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createMeasured } from '../../operations/metrics/metrics.fixture.js';
import { branch } from '../participant/branch-request.js';
import { settled } from '../testing/index.js';
import { History } from './history.js';
import { measurementsOf } from './metrics/participant-measurements.js';

const BOTH = { branches: [branch('stock', 1), branch('payment', 1)] };

describe('The history', () => {
  beforeEach(
    () =>
      void vi.useFakeTimers({
        now: Date.parse('2026-01-01T00:00:00.000Z'),
        toFake: ['Date', 'setInterval', 'clearInterval'],
      }),
  );
  afterEach(() => void vi.useRealTimers());

  function setUp() {
    const measured = createMeasured();
    const { runtime, participants, reporter } = measured;
    const history = new History(runtime, participants, reporter);
    history.onModuleInit();
    return { ...measured, history };
  }

  it('has a point every five seconds with what has happened since the one before', async () => {
    const { history, transactions, stock } = setUp();
    await transactions.run(BOTH);
    await transactions.run(BOTH);
    vi.advanceTimersByTime(5_000);
    stock.script = { prepare: 'no' };
    await transactions.run(BOTH);
    await settled();
    const active = transactions.begin();
    vi.advanceTimersByTime(5_000);
    await active.rollback();
    vi.advanceTimersByTime(5_000);

    const { startedAt, stepMs, points } = history.view();
    expect({ startedAt, stepMs }).toEqual({ startedAt: '2026-01-01T00:00:00.000Z', stepMs: 5_000 });
    expect(points).toMatchObject([
      { at: '2026-01-01T00:00:05.000Z', committed: 2, aborted: {}, inFlight: 0 },
      { at: '2026-01-01T00:00:10.000Z', committed: 0, aborted: { refused: 1 }, inFlight: 1 },
      { at: '2026-01-01T00:00:15.000Z', committed: 0, aborted: { 'rolled-back': 1 }, inFlight: 0 },
    ]);
    history.onApplicationShutdown();
  });

  it('counts requests that were refused', () => {
    const { history, runtime, transactions } = setUp();
    runtime.admission.isDraining = true;
    expect(() => transactions.begin()).toThrow('drain');
    vi.advanceTimersByTime(5_000);
    expect(history.view().points).toMatchObject([{ refused: 1 }]);
    history.onApplicationShutdown();
  });

  it('keeps an hour, and leaves no timer', () => {
    const { history } = setUp();
    vi.advanceTimersByTime(2 * 3_600_000);
    const { points } = history.view();
    expect(points).toHaveLength(720);
    expect(points[0]!.at).toBe('2026-01-01T01:00:05.000Z');
    history.onApplicationShutdown();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('lets latencies be those of the last five minutes', async () => {
    const { history, transactions, participants } = setUp();
    await transactions.run(BOTH);
    const { recentPrepares, recentCompletions } = measurementsOf(participants.resolve('stock'));
    vi.advanceTimersByTime(299_999);
    expect([recentPrepares.count, recentCompletions.count]).toEqual([1, 1]);
    vi.advanceTimersByTime(30_001);
    expect([recentPrepares.count, recentCompletions.count]).toEqual([0, 0]);
    history.onApplicationShutdown();
  });
});
