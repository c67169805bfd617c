import { describe, expect, it } from 'vitest';
import { alarmsOf } from './alarms.js';
import type { OutboxStatus } from './status.js';

function status(fields: Partial<OutboxStatus>): OutboxStatus {
  const counts = { sent: 0, retried: 0, deadSinceStart: 0, sending: 0, hanging: 0 };
  return {
    name: 'mail',
    held: { waiting: 3, oldestMs: 0, dead: 0 },
    problem: undefined,
    ...counts,
    ...fields,
  };
}

const names = (fields: Partial<OutboxStatus>): unknown[] =>
  alarmsOf([status(fields)]).map(({ name, subject, count }) => [name, subject, count]);

describe('The alarms of an outbox', () => {
  it('are none while its messages are sent, and while nothing is known of it', () => {
    expect(names({})).toEqual([]);
    expect(names({ held: undefined })).toEqual([]);
    expect(names({ held: { waiting: 9, oldestMs: 300_000, dead: 0 } })).toEqual([]);
  });

  it('are dead messages, messages that wait for long, and a database that does not answer', () => {
    expect(names({ held: { waiting: 9, oldestMs: 300_001, dead: 2 } })).toEqual([
      ['DtcOutboxDead', 'mail', 2],
      ['DtcOutboxLate', 'mail', 9],
    ]);
    expect(
      alarmsOf([status({ held: { waiting: 9, oldestMs: 300_001, dead: 0 }, hanging: 2 })]),
    ).toMatchObject([{ name: 'DtcOutboxLate', cause: 'attempts that go on after their time: 2' }]);
    expect(alarmsOf([status({ problem: 'connect ECONNREFUSED' })])).toMatchObject([
      { name: 'DtcOutboxDown', cause: 'connect ECONNREFUSED' },
    ]);
  });
});
