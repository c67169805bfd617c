import { describe, expect, it, vi } from 'vitest';
import { createMeasured } from '../../../operations/metrics/metrics.fixture.js';
import { branch } from '../../participant/branch-request.js';
import { settled } from '../../testing/index.js';
import { entriesOf } from '../transaction-listing.js';
import { type Alarm, alarmOf } from './alarm.js';
import { AlarmBoard } from './alarm-board.js';

/** Alarms look at minutes. */
const SECOND_MS = 1_000;
const BOTH = { branches: [branch('stock', 1), branch('payment', 1)] };

function setUp(options = {}) {
  const measured = createMeasured({ maxAttempts: 1, ...options });
  const board = new AlarmBoard(measured.runtime, measured.reporter);
  const { clock, runtime } = measured;
  const alarms = (): readonly Alarm[] => board.list(100).alarms;
  const found = (alarm: string): number =>
    entriesOf(runtime.registry, { alarm, limit: 1_000 }, clock.now()).entries.length;
  const alarm = (name: string): Alarm | undefined => alarms().find((one) => one.name === name);
  return { ...measured, board, alarms, alarm, found };
}

describe('The alarms of transactions', () => {
  it('are one for each participant and cause, whatever numbers the cause contains, and find what they count', async () => {
    const { transactions, stock, payment, clock, alarms, found } = setUp();
    for (let times = 0; times < 150; times++) {
      // As an error with an address in it: different each time.
      const error = new Error(`connect ECONNREFUSED 10.0.0.1:${8_000 + times}`);
      vi.spyOn(payment, 'commit').mockRejectedValueOnce(error);
      await transactions.run(BOTH);
      await clock.advance(10);
    }
    payment.script = { commit: 'throw' };
    const other = await transactions.run(BOTH);
    payment.script = {};
    stock.script = { commit: { heuristic: 'rollback' } };
    const late = await transactions.run(BOTH);
    await settled();

    const list = alarms().filter(({ unit }) => unit === 'transactions');
    expect(list.map(({ name, subject, count }) => [name, subject, count])).toEqual([
      ['DtcHeuristicReportOpen', 'stock', 1],
      ['DtcStalled', 'payment', 150],
      ['DtcStalled', 'payment', 1],
    ]);
    const [heuristic, many, one] = list as [Alarm, Alarm, Alarm];
    expect(heuristic).toMatchObject({
      severity: 'critical',
      cause: 'rollback: scripted',
      oldest: late.transactionId,
    });
    expect(many.cause).toMatch(/^connect ECONNREFUSED 10\.0\.0\.1:8000/);
    expect(Date.parse(many.since!)).toBe(clock.epochMs + clock.now() - 1_500);
    expect(one.oldest).toBe(other.transactionId);
    expect(list.map(({ id }) => found(id))).toEqual([1, 150, 1]);
    expect(found(`${many.id}x`)).toBe(0);
  });

  it('become critical with time, and keep their id', async () => {
    const { transactions, payment, clock, alarms } = setUp({ recoveryIntervalMs: 3_000_000 });
    payment.script = { commit: 'throw' };
    await transactions.run(BOTH);
    const [first] = alarms();
    expect(first).toMatchObject({ name: 'DtcStalled', severity: 'warning', unit: 'transactions' });
    await clock.advance(3_600_001, SECOND_MS);
    const later = alarms().find(({ id }) => id === first!.id);
    expect(later).toMatchObject({ name: 'DtcStalledTooLong', severity: 'critical', since: first!.since });
  });

  it('are cut after a limit, and all of them are counted', async () => {
    const { transactions, stock, payment, board } = setUp();
    stock.script = { commit: 'throw' };
    payment.script = { commit: 'throw' };
    await transactions.run(BOTH);
    expect(board.list(1)).toMatchObject({ alarms: [{ subject: 'payment' }], total: 2 });
  });
});

describe('The alarms of conditions', () => {
  it('are none while nothing is wrong', async () => {
    const { transactions, alarms } = setUp();
    await transactions.run(BOTH);
    expect(alarms()).toEqual([]);
  });

  it('name the trouble of the log once, by what is known of it', () => {
    const { runtime, alarms } = setUp();
    runtime.log.failed(new Error('no space left on the device'));
    expect(alarms()).toMatchObject([{ name: 'DtcLogProblem', cause: 'no space left on the device' }]);
    runtime.log.failed(Object.assign(new Error('moved'), { code: 'DTC_LOG_MOVED' }));
    expect(alarms()).toMatchObject([{ name: 'DtcLogMoved', severity: 'critical' }]);
    runtime.log.failed(Object.assign(new Error('behind'), { code: 'DTC_LOG_BEHIND' }));
    expect(alarms()).toMatchObject([{ name: 'DtcLogBehind' }]);
    runtime.log.failed(Object.assign(new Error('broken'), { code: 'DTC_LOG_BROKEN' }));
    expect(alarms()).toMatchObject([{ name: 'DtcLogRestartNeeded' }]);
  });

  it('name a participant that is paused, since when, by whom and why', () => {
    const { runtime, alarms } = setUp();
    runtime.parts.participants.pause('payment', { since: 5_000, by: 'alice', reason: 'maintenance' });
    expect(alarms()).toMatchObject([
      {
        name: 'DtcParticipantPaused',
        subject: 'payment',
        since: '1970-01-01T00:00:05.000Z',
        cause: 'paused by alice: maintenance',
      },
    ]);
  });

  it('name a coordinator that is drained, and one that is full', async () => {
    const { runtime, transactions, alarms } = setUp({ maxInFlight: 10 });
    const open = Array.from({ length: 9 }, () => transactions.begin());
    expect(alarms()).toMatchObject([{ name: 'DtcOverload', count: 90, unit: 'percent' }]);
    await Promise.all(open.map((transaction) => transaction.rollback()));
    runtime.admission.isDraining = true;
    expect(alarms()).toMatchObject([{ name: 'DtcDraining', severity: 'warning' }]);
  });

  it('name a participant that does not answer, and what follows from it', async () => {
    const { transactions, payment, clock, alarm } = setUp({ prepareTimeoutMs: 100 });
    payment.script = { prepare: 'hang' };
    const missed = Promise.all(Array.from({ length: 30 }, () => transactions.run(BOTH)));
    await clock.advance(100);
    await missed;
    expect(alarm('DtcParticipantSilent')).toMatchObject({ subject: 'payment', severity: 'critical' });
    expect(alarm('DtcAbortRateHigh')).toMatchObject({ count: 100 });
  });

  it('tell a rate of the last minutes, and not of all time', async () => {
    const { transactions, payment, clock, board, alarm } = setUp();
    payment.script = { prepare: 'throw' };
    for (let times = 0; times < 30; times++) await transactions.run(BOTH);
    expect(alarm('DtcAbortRateHigh')).toMatchObject({ count: 100, unit: 'percent' });
    payment.script = {};
    board.step();
    for (let minutes = 0; minutes < 6; minutes++) {
      await clock.advance(60_000, SECOND_MS);
      for (let times = 0; times < 10; times++) await transactions.run(BOTH);
      board.step();
    }
    expect(alarm('DtcAbortRateHigh')).toBeUndefined();
  });

  it('tell events for a quarter of an hour, with their number', async () => {
    const { reporter, clock, alarm } = setUp();
    reporter.defect(new Error('a defect'), 'a test');
    expect(alarm('DtcDefects')).toMatchObject({ count: 1, unit: 'events' });
    await clock.advance(3_600_001, SECOND_MS);
    expect(alarm('DtcDefects')).toBeUndefined();
  });

  it('tell of members that are lost again and again', async () => {
    const { runtime, clock, alarms } = setUp();
    runtime.members.adoptions.lost = 1;
    expect(alarms()).toMatchObject([{ name: 'DtcMemberLost', count: 1 }]);
    await clock.advance(60_000, SECOND_MS);
    runtime.members.adoptions.lost = 3;
    expect(alarms()).toMatchObject([{ name: 'DtcRestartLoop', count: 3, severity: 'critical' }]);
    await clock.advance(900_001, SECOND_MS);
    expect(alarms().filter(({ name }) => name === 'DtcRestartLoop')).toEqual([]);
  });

  it('name a member that is gone at once, and what is stuck after five minutes', async () => {
    const { runtime, clock, alarms } = setUp();
    const gone = { epoch: 3, member: 'shop-1', ageMs: 60_000, isFenced: false, adoptedBy: null };
    runtime.members.see({ epochs: [gone as never] }, clock.now());
    expect(alarms()).toMatchObject([
      { name: 'DtcMemberLost', subject: 'shop-1, epoch 3', cause: 'lost', severity: 'warning' },
    ]);
    await clock.advance(240_001, SECOND_MS);
    expect(alarms()).toMatchObject([{ name: 'DtcAdoptionStuck', severity: 'critical' }]);
  });

  it('contain those of other parts, and outlive one that throws', () => {
    const { board, alarms, alarm } = setUp();
    board.add(() => [alarmOf('DtcOutboxDead', 'mail', { count: 7, unit: 'messages' })]);
    expect(alarms()).toMatchObject([{ name: 'DtcOutboxDead', subject: 'mail', count: 7 }]);
    board.add(() => {
      throw new Error('no');
    });
    expect(alarm('DtcOutboxDead')).toBeDefined();
    expect(alarm('DtcDefects')).toBeDefined();
  });
});
