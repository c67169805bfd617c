import type { MessageEvent } from '@nestjs/common';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { OwnedAlarm } from './members/owned.js';
import { OverviewStream } from './overview-stream.js';
import { settled } from '../coordinator/testing/index.js';

describe('The stream of overviews', () => {
  let asked: PromiseWithResolvers<void>;
  let alarms: OwnedAlarm[];
  let stream: OverviewStream;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date'] });
    asked = Promise.withResolvers();
    alarms = [];
    const watch = {
      ask: () => asked.promise,
      latest: () => ({ members: [] }),
      alarms: () => ({ alarms, total: alarms.length }),
    };
    stream = new OverviewStream(
      { participants: () => [] } as never,
      { overview: () => ({ coordinator: {} }) } as never,
      watch as never,
    );
  });
  afterEach(() => void vi.useRealTimers());

  function received(): MessageEvent[] {
    const events: MessageEvent[] = [];
    stream.subscribe(null).subscribe((event) => events.push(event));
    return events;
  }

  it('begins with an overview of all members, and not before they have answered', async () => {
    const events = received();
    await vi.advanceTimersByTimeAsync(500);
    expect(events).toEqual([]);
    alarms = [{ id: 'of another member' } as OwnedAlarm];
    asked.resolve();
    await settled();
    expect(events).toMatchObject([{ type: 'overview', data: { alarms, alarmsTotal: 1 } }]);
    stream.beforeApplicationShutdown();
  });

  it('waits for members that hang no longer than a second, and goes on each second', async () => {
    const events = received();
    await vi.advanceTimersByTimeAsync(999);
    expect(events).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(events).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(3_000);
    expect(events).toHaveLength(4);
    stream.beforeApplicationShutdown();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('tells the number of all alarms together with the list of them', async () => {
    asked.resolve();
    const events = received();
    await settled();
    await vi.advanceTimersByTimeAsync(2_000);
    const withList = events.map(({ data }) => [
      'alarms' in (data as object),
      'alarmsTotal' in (data as object),
    ]);
    // The second is the first of those that all streams share, and the third has no news.
    expect(withList).toEqual([
      [true, true],
      [true, true],
      [false, false],
    ]);
    stream.beforeApplicationShutdown();
  });
});
