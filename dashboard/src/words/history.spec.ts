import { describe, expect, it } from 'vitest';
import type { HistoryPage, HistoryPoint } from '../api/views.js';
import { abortsOf, coursesOf, placeOf } from './history.js';

const NOW = Date.parse('2026-01-01T12:00:00.000Z');
const point = (at: string, more: Partial<HistoryPoint> = {}): HistoryPoint => ({
  at,
  committed: 0,
  pending: 0,
  heuristic: 0,
  aborted: {},
  refused: 0,
  inFlight: 0,
  inDoubt: 0,
  stalled: 0,
  ...more,
});
const page = (...points: readonly HistoryPoint[]): HistoryPage => ({
  startedAt: '2026-01-01T11:00:00.000Z',
  stepMs: 5_000,
  points,
  marks: [],
});

describe('The last hour', () => {
  it('is drawn from an hour ago to now, and counts become rates', () => {
    const [committed, aborted, , stalled] = coursesOf(
      page(
        point('2026-01-01T11:30:00.000Z', { committed: 50, aborted: { failed: 5, refused: 10 } }),
        point('2026-01-01T12:00:00.000Z', { committed: 10, stalled: 3 }),
      ),
      NOW,
    );
    expect(committed).toMatchObject({
      points: [
        [0.5, 10],
        [1, 2],
      ],
      highest: 10,
    });
    expect(aborted).toMatchObject({
      points: [
        [0.5, 3],
        [1, 0],
      ],
      highest: 3,
    });
    expect(stalled?.text).toBe('Stalled over the last hour: at most 3, now 3');
  });

  it('holds moments before and after it at its ends', () => {
    expect(placeOf('2026-01-01T09:00:00.000Z', NOW)).toBe(0);
    expect(placeOf('2026-01-01T12:00:05.000Z', NOW)).toBe(1);
  });

  it('names the causes of aborts, the most frequent first', () => {
    const points = [
      point('2026-01-01T11:30:00.000Z', { aborted: { failed: 1, 'timed-out': 4 }, refused: 1 }),
      point('2026-01-01T11:31:00.000Z', { aborted: { failed: 1 } }),
    ];
    expect(abortsOf(page(...points))).toBe(
      'Aborts in the last hour: 4 timed-out, 2 failed, 1 request refused before a start.',
    );
    expect(abortsOf(page())).toBe('No aborts in the last hour.');
  });
});
