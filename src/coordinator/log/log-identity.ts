import { randomBytes, randomInt } from 'node:crypto';
import { LOG_ID_LENGTH, MAX_EPOCH } from '../protocol/index.js';
import { LogStartsUsedUpError } from './log-errors.js';

const DIGITS = '0123456789abcdefghijklmnopqrstuvwxyz';
const TOKEN_BYTES = 16;

/** @returns an id for a log that is made now: 12 random characters of 0-9 and a-z. */
export function newLogId(): string {
  return Array.from({ length: LOG_ID_LENGTH }, () => DIGITS[randomInt(DIGITS.length)]).join('');
}

/**
 * @returns a token for a start that happens now. It is what two runs with the same log id and epoch differ
 * in.
 */
export function newRunToken(): string {
  return randomBytes(TOKEN_BYTES).toString('hex');
}

/**
 * @param before the epoch of the start before, 0 when there was none.
 * @returns the epoch of a start of the same log. Called before anything is written.
 * @throws LogStartsUsedUpError when its number does not fit into a transaction id.
 */
export function nextEpoch(before: number): number {
  if (before >= MAX_EPOCH) throw new LogStartsUsedUpError(MAX_EPOCH);
  return before + 1;
}
