/**
 * Comments before a statement. MariaDB runs what is inside of the comments that begin with an exclamation
 * mark.
 */
const BEFORE = String.raw`(?:\s|--[^\n]*(?:\n|$)|#[^\n]*(?:\n|$)|/\*(?!M?!)[^*]*\*+(?:[^/*][^*]*\*+)*/|/\*M?!\d*)*`;

/**
 * A text that is a statement which begins or ends a transaction, as an ORM sends it for a transaction of its
 * own.
 */
const CONTROL = new RegExp(
  `^${BEFORE}(?:begin(?!\\s+not\\s+atomic)|start\\s+transaction|commit|xa|rollback(?!\\s+(?:work\\s+)?to\\b))\\b`,
  'i',
);

/** Whether a text begins or ends a transaction. To go back to a savepoint is neither. */
export function controlsTransaction(text: string): boolean {
  return CONTROL.test(text);
}
