import { afterEach, describe, expect, it, vi } from 'vitest';
import { alarmOf } from '../../coordinator/observation/alarms/alarm.js';
import type { Asked } from './member-client.js';
import { MemberWatch } from './member-watch.js';

const OTHER = { epoch: 8, member: 'other', address: 'http://other', self: false, state: 'alive' };
const SELF = { ...OTHER, epoch: 7, member: 'own', self: true };
const STALLED = alarmOf('DtcStalled', 'payment', { unit: 'transactions' });
const OVERVIEW = {
  coordinator: { condition: { inFlight: 3 }, version: '1.1.0' },
  alarms: [STALLED],
  alarmsTotal: 1,
};
const NOTHING = { alarms: [], alarmsTotal: 0 };
const TIMEOUT_MS = 2_000;

function watchOf(answer: Asked<unknown>, obstacle?: string) {
  const ask = vi.fn<() => Promise<Asked<unknown>>>(async () => answer);
  const own = { overview: () => ({ ...NOTHING, coordinator: { condition: {}, version: '1.0.0' } }) };
  const watch = new MemberWatch(
    own as never,
    { ask, obstacleTo: () => obstacle } as never,
    { self: { epoch: 7, member: 'own' }, others: () => ({ alive: [OTHER], gone: [] }) } as never,
    { view: () => ({ members: [SELF, OTHER] }) } as never,
    { timeoutMs: TIMEOUT_MS } as never,
  );
  const alarms = () =>
    watch
      .alarms(own.overview() as never, 10)
      .alarms.map(({ name, subject, cause, members }) => ({ name, subject, cause, members }));
  return { watch, ask, alarms };
}

describe('What the members say of themselves', () => {
  afterEach(() => void vi.useRealTimers());

  it('is an alarm when one that was asked does not answer', async () => {
    const { watch, alarms } = watchOf({ kind: 'failed', problem: 'it cannot be reached', mayBeDone: false });
    await watch.ask();
    expect(alarms()).toEqual([
      {
        name: 'DtcTargetDown',
        subject: 'other, epoch 8',
        cause: 'it cannot be reached',
        members: ['own, epoch 7'],
      },
    ]);
    expect(watch.latest().members[1]).toMatchObject({ condition: null, problem: 'it cannot be reached' });
  });

  it('is no alarm where members do not ask each other, and says why nothing is known', async () => {
    const { watch, ask, alarms } = watchOf({ kind: 'answered', answer: OVERVIEW }, 'members have no token');
    await watch.ask();
    expect([alarms(), ask.mock.calls.length]).toEqual([[], 0]);
    expect(watch.latest().members[1]).toMatchObject({ condition: null, problem: 'members have no token' });
  });

  it('is forgotten when no one has looked for some seconds', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const { watch, alarms } = watchOf({ kind: 'answered', answer: OVERVIEW });
    await watch.ask();
    vi.advanceTimersByTime(5_000 + TIMEOUT_MS);
    expect(alarms()).toMatchObject([{ name: 'DtcStalled', members: ['other, epoch 8'] }]);
    expect(watch.latest().members[1]!.condition).toEqual({ inFlight: 3 });
    expect(watch.latest().members.map(({ version }) => version)).toEqual(['1.0.0', '1.1.0']);
    vi.advanceTimersByTime(1);
    expect(alarms()).toEqual([]);
    expect(watch.latest().members[1]).toMatchObject({ condition: null, problem: null });
  });
});
