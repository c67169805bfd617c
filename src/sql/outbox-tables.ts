import { OutboxError } from '../outbox/errors.js';

/** The tables of an outbox. */
export const OUTBOX_TABLES = ['dtc_outbox', 'dtc_outbox_keys'] as const;

export type OutboxTable = (typeof OUTBOX_TABLES)[number];

/** The column of their primary key. */
export const KEY_OF: Readonly<Record<OutboxTable, string>> = {
  dtc_outbox: 'position',
  dtc_outbox_keys: 'name',
};

/**
 * @param product the name of the database for people.
 * @returns a function that makes the error of tables that cannot be used.
 */
export function unusableIn(
  product: string,
): (problem: string, remedy: string, cause?: unknown) => OutboxError {
  return (problem, remedy, cause) =>
    new OutboxError(
      'DTC_OUTBOX_TABLE',
      `The outbox cannot use its ${product} database: ${problem}. ${remedy}`,
      cause === undefined ? undefined : { cause },
    );
}
