import type { TransactionRecord } from '../execution/records.js';

/** @returns milliseconds, without what is below a microsecond. */
export function roundedMs(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}

/** @returns how long a transaction that has ended took, in milliseconds. */
export function durationOf({ startedAt, endedAt }: TransactionRecord): number {
  return roundedMs(endedAt - startedAt);
}
