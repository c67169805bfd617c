import { describe, expect, it } from 'vitest';
import { ALARM_NAMES, alarmOf } from '../../../src/coordinator/observation/alarms/alarm.js';
import type { OwnedAlarm } from '../api/views.js';
import { headlineOf, tallyOf, wordsOf } from './alarms.js';

const NOW_MS = Date.parse('2026-01-01T00:10:00.000Z');

function alarm(...[name, subject, fields]: Parameters<typeof alarmOf>): OwnedAlarm {
  return { ...alarmOf(name, subject, fields), members: [] };
}

describe('an alarm in words', () => {
  it('says what is wrong, what happens by itself and what to do, whatever is known', () => {
    for (const name of ALARM_NAMES) {
      for (const subject of [null, 'payment']) {
        const words = wordsOf(alarm(name, subject), NOW_MS);
        const texts = [words.what, words.itself, words.todo];
        expect(texts.filter((text) => text === '' || /undefined|null|NaN/.test(text))).toEqual([]);
      }
    }
  });

  it('counts the transactions of a stalled participant, and says when it is tried again', () => {
    const stalled = alarm('DtcStalled', 'payment', {
      count: 150,
      unit: 'transactions',
      since: '2026-01-01T00:00:00.000Z',
      nextAttemptAt: '2026-01-01T00:10:04.000Z',
    });
    expect(wordsOf(stalled, NOW_MS)).toEqual({
      what: '150 transactions at payment: decided, not completed',
      itself: 'Next attempt in 4 s. It is tried without an end, and the decision does not change.',
      todo: 'Bring payment back. Retry then saves the pause.',
    });
    expect(headlineOf(stalled, NOW_MS)).toBe(
      '150 transactions at payment: decided, not completed, for 10 min 00 s',
    );
  });

  it('says how long a vote still holds, and that it has expired', () => {
    const expiring = (expiresAt: string): string =>
      wordsOf(alarm('DtcVotesExpiring', 'payment', { unit: 'transactions', expiresAt }), NOW_MS).what;
    expect(expiring('2026-01-01T00:10:30.000Z')).toContain('the vote expires in 30 s');
    expect(expiring('2026-01-01T00:09:30.000Z')).toContain('has expired 30 s ago');
  });

  it('is tallied by its urgency', () => {
    const [critical, warning] = [alarm('DtcFenced', null), alarm('DtcStalled', 'payment')];
    expect(tallyOf([critical, warning, warning])).toBe('1 critical, 2 warnings');
    expect(tallyOf([warning])).toBe('1 warning');
  });
});
