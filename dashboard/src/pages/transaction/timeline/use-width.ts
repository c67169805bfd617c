import type { RefObject } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';

const WIDTH_BEFORE_MEASURED = 640;

/**
 * @returns an element reference and its width: pictures are drawn at their size, so that their letters keep
 * theirs.
 */
export function useWidth(): [RefObject<HTMLElement | null>, number] {
  const place = useRef<HTMLElement | null>(null);
  const [width, setWidth] = useState(WIDTH_BEFORE_MEASURED);
  useLayoutEffect(() => {
    if (place.current !== null) setWidth(place.current.clientWidth);
    const observer = new ResizeObserver(([entry]) => {
      if (entry !== undefined) setWidth(Math.floor(entry.contentRect.width));
    });
    if (place.current !== null) observer.observe(place.current);
    return () => observer.disconnect();
  }, []);
  return [place, width];
}
