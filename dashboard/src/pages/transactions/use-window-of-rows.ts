import type { RefObject } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

/** Rows beyond both edges of the screen, for keys and quick scrolling. */
const OVERSCAN = 12;

/** The drawn rows, from the first to before the last. */
export interface RowWindow {
  readonly from: number;
  readonly to: number;
}

/** @returns an element reference for rows of one height, and the range of visible rows. */
export function useWindowOfRows(
  count: number,
  rowHeight: number,
): [RefObject<HTMLDivElement | null>, RowWindow] {
  const place = useRef<HTMLDivElement | null>(null);
  const [rows, setRows] = useState<RowWindow>({ from: 0, to: OVERSCAN * 3 });

  useEffect(() => {
    let frame = 0;
    const measure = (): void => {
      frame = 0;
      if (place.current === null) return;
      const above = -place.current.getBoundingClientRect().top;
      const from = Math.max(0, Math.floor(above / rowHeight) - OVERSCAN);
      const to = Math.ceil((above + window.innerHeight) / rowHeight) + OVERSCAN;
      setRows((before) => (before.from === from && before.to === to ? before : { from, to }));
    };
    const schedule = (): void => {
      if (frame === 0) frame = requestAnimationFrame(measure);
    };
    measure();
    window.addEventListener('scroll', schedule, { passive: true });
    window.addEventListener('resize', schedule);
    return () => {
      cancelAnimationFrame(frame);
      window.removeEventListener('scroll', schedule);
      window.removeEventListener('resize', schedule);
    };
  }, [rowHeight, count]);

  return [place, { from: Math.min(rows.from, count), to: Math.max(0, Math.min(rows.to, count)) }];
}

/** @returns whether a media query holds, now and from now on. */
export function useMedia(query: string): boolean {
  const [isMatching, setMatching] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const follow = (): void => setMatching(list.matches);
    follow();
    list.addEventListener('change', follow);
    return () => list.removeEventListener('change', follow);
  }, [query]);
  return isMatching;
}
