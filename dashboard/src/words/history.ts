import type { HistoryPage, HistoryPoint } from '../api/views.js';
import { formatCount, plural } from './numbers.js';

const HOUR_MS = 3_600_000;

/** What is drawn over the last hour. */
export interface Course {
  readonly name: string;
  /** Each from 0, an hour ago, to 1, and its value. */
  readonly points: readonly (readonly [place: number, value: number])[];
  readonly highest: number;
  /** The same for those who do not see it. */
  readonly text: string;
}

const COURSES: readonly {
  readonly name: string;
  readonly of: (point: HistoryPoint, stepMs: number) => number;
}[] = [
  { name: 'Committed a second', of: ({ committed }, stepMs) => (committed * 1_000) / stepMs },
  { name: 'Aborted a second', of: ({ aborted }, stepMs) => (sumOf(aborted) * 1_000) / stepMs },
  { name: 'In flight', of: ({ inFlight }) => inFlight },
  { name: 'Stalled', of: ({ stalled }) => stalled },
];

/** @param nowMs the right end. */
export function coursesOf({ points, stepMs }: HistoryPage, nowMs: number): readonly Course[] {
  return COURSES.map(({ name, of }) => {
    const placed = points.map((point) => [placeOf(point.at, nowMs), of(point, stepMs)] as const);
    const highest = Math.max(0, ...placed.map(([, value]) => value));
    const latest = placed.at(-1)?.[1] ?? 0;
    const text = `${name} over the last hour: at most ${formatCount(Math.round(highest))}, now ${formatCount(Math.round(latest))}`;
    return { name, points: placed, highest, text };
  });
}

/** @returns where a moment of the last hour is drawn, from 0 to 1. */
export function placeOf(at: string, nowMs: number): number {
  return Math.min(1, Math.max(0, 1 - (nowMs - Date.parse(at)) / HOUR_MS));
}

/** @returns the aborts of the last hour by their cause, the most frequent first, as a text. */
export function abortsOf({ points }: HistoryPage): string {
  const causes = new Map<string, number>();
  for (const { aborted } of points) {
    for (const [cause, count] of Object.entries(aborted)) causes.set(cause, (causes.get(cause) ?? 0) + count);
  }
  const refused = points.reduce((sum, point) => sum + point.refused, 0);
  const parts = [...causes]
    .toSorted(([, a], [, b]) => b - a)
    .map(([cause, count]) => `${formatCount(count)} ${cause}`);
  if (refused > 0) parts.push(`${plural(refused, 'request')} refused before a start`);
  return parts.length === 0 ? 'No aborts in the last hour.' : `Aborts in the last hour: ${parts.join(', ')}.`;
}

function sumOf(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}
