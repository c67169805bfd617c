import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { Live } from '../live/use-live.js';
import { headlineOf } from '../words/alarms.js';
import { plural } from '../words/numbers.js';

/** The shortest time between two announcements of changing counts. */
const QUIET_MS = 15_000;

/** Announcements for readers who do not see the page change: rarely, and in one sentence. */
export function Announcer({ text }: { readonly text: string }) {
  return (
    <div class="visually-hidden" role="status">
      {text}
    </div>
  );
}

/** @returns the present announcement, and a function that makes one. */
export function useAnnouncements({ overview, connection }: Live): [string, (text: string) => void] {
  const [text, setText] = useState('');
  const spoken = useRef<{ total: number; atMs: number } | null>(null);
  const wasLost = useRef(false);
  const announce = useCallback((words: string) => setText(words), []);
  const total = overview?.alarmsTotal;
  const first = overview?.alarms[0];

  useEffect(() => {
    if (total === undefined) return;
    const nowMs = performance.now();
    const { current } = spoken;
    if (current !== null && (current.total === total || nowMs - current.atMs < QUIET_MS)) return;
    spoken.current = { total, atMs: nowMs };
    if (current === null) return;
    const headline = first === undefined ? '' : ` ${headlineOf(first, Date.parse(overview!.at))}.`;
    announce(`${plural(total, 'problem')} in need of attention.${headline}`);
  }, [total, overview, announce]);

  useEffect(() => {
    if (connection.kind === 'live' && wasLost.current) announce('Connected again.');
    wasLost.current = connection.kind === 'lost';
  }, [connection, announce]);

  return [text, announce];
}
