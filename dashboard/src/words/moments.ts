const TIME = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const DAY_MS = 24 * 3_600_000;

/** @returns the time of day at the user's place; with the day, if it is not within a day of `nowMs`. */
export function formatMoment(iso: string, nowMs: number = Date.now()): string {
  const moment = new Date(iso);
  const isNear = Math.abs(moment.getTime() - nowMs) < DAY_MS;
  return isNear ? TIME.format(moment) : `${DAY.format(moment)}, ${TIME.format(moment)}`;
}
