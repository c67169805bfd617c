import type { TransactionRecord } from '../execution/records.js';

/** @returns milliseconds, rounded to whole microseconds. */
export function roundedMs(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}

/** @returns the duration of a transaction that has ended, in milliseconds. */
export function durationOf({ startedAt, endedAt }: TransactionRecord): number {
  return roundedMs(endedAt - startedAt);
}
