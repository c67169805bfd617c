const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** @returns a measured duration: `4.2 ms`, `840 ms`, `12.4 s`, `3 min 12 s`. */
export function formatDuration(ms: number): string {
  if (ms < 10) return `${Number(ms.toFixed(1))} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / SECOND_MS).toFixed(1)} s`;
  return formatAge(ms);
}

/** @returns a configured duration: `2 s`, `250 ms`. */
export function formatSetting(ms: number): string {
  return ms % SECOND_MS === 0 ? formatAge(ms) : formatDuration(ms);
}

/** @returns an age, in whole seconds and its two largest units: `12 s`, `2 h 05 min`. */
export function formatAge(ms: number): string {
  const whole = Math.max(0, Math.floor(ms / SECOND_MS)) * SECOND_MS;
  if (whole < MINUTE_MS) return `${whole / SECOND_MS} s`;
  if (whole < HOUR_MS) return units(whole, MINUTE_MS, 'min', SECOND_MS, 's');
  if (whole < DAY_MS) return units(whole, HOUR_MS, 'h', MINUTE_MS, 'min');
  return units(whole, DAY_MS, 'd', HOUR_MS, 'h');
}

function units(ms: number, largeMs: number, large: string, smallMs: number, small: string): string {
  const rest = Math.floor((ms % largeMs) / smallMs);
  return `${Math.floor(ms / largeMs)} ${large} ${String(rest).padStart(2, '0')} ${small}`;
}
