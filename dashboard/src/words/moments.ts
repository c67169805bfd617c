const TIME = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const DAY_MS = 24 * 3_600_000;

const WITH_OFFSET = new Intl.DateTimeFormat('en-GB', { timeZoneName: 'longOffset' });

/** @returns the zone of the user at a moment, for people: `Europe/Berlin, GMT+01:00`. */
export function zoneOf(moment: Date): string {
  const offset = WITH_OFFSET.formatToParts(moment).find(({ type }) => type === 'timeZoneName')?.value;
  const { timeZone } = WITH_OFFSET.resolvedOptions();
  return offset === undefined ? timeZone : `${timeZone}, ${offset}`;
}

/** @returns the time of day at the user's place; with the day, if it is not within a day of `nowMs`. */
export function formatMoment(iso: string, nowMs: number = Date.now()): string {
  const moment = new Date(iso);
  const isNear = Math.abs(moment.getTime() - nowMs) < DAY_MS;
  return isNear ? TIME.format(moment) : `${DAY.format(moment)}, ${TIME.format(moment)}`;
}
