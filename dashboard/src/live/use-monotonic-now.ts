import { useEffect, useState } from 'preact/hooks';

const TICK_MS = 1_000;

/** @returns `performance.now()`, updated every second. */
export function useMonotonicNow(): number {
  const [now, setNow] = useState(() => performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), TICK_MS);
    return () => clearInterval(timer);
  }, []);
  return now;
}
