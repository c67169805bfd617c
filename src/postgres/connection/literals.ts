import { defaults, escapeLiteral } from 'pg';

/**
 * A value in the text of a statement: the value that `pg` would send beside the text, as a string that
 * PostgreSQL reads as the type it needs.
 *
 * @returns undefined for values that `pg` should send itself: bytes, objects that convert themselves, and
 * values that no text can hold.
 * @throws the error of JSON for a value that it cannot represent.
 */
export function literalOf(value: unknown): string | undefined {
  if (value === null || value === undefined) return 'NULL';
  const text = textOf(value);
  return text === undefined || text.includes('\0') ? undefined : escapeLiteral(text);
}

/** Source: the rules of `pg` for the values of a query, in its documentation under "Queries". */
function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean')
    return String(value);
  return typeof value === 'object' && value !== null ? textOfObject(value) : undefined;
}

function textOfObject(value: object): string | undefined {
  if (value instanceof Date) return textOfDate(value);
  if (Array.isArray(value)) return textOfArray(value);
  if (ArrayBuffer.isView(value) || 'toPostgres' in value) return undefined;
  return JSON.stringify(value);
}

/** In local time, with its offset from UTC: a column without a time zone keeps the local time. */
function textOfDate(date: Date): string | undefined {
  const year = date.getFullYear();
  if (defaults.parseInputDatesAsUTC === true || !(year > 0 && year <= 9_999)) return undefined;
  const offset = -date.getTimezoneOffset();
  const wall = new Date(date.getTime() + offset * 60_000).toISOString().slice(0, -1);
  const hours = String(Math.floor(Math.abs(offset) / 60)).padStart(2, '0');
  const minutes = String(Math.abs(offset) % 60).padStart(2, '0');
  return `${wall}${offset < 0 ? '-' : '+'}${hours}:${minutes}`;
}

/** Source: PostgreSQL documentation, "Array Input and Output Syntax". */
function textOfArray(values: readonly unknown[]): string | undefined {
  const items: string[] = [];
  for (const value of values) {
    const item = Array.isArray(value) ? textOfArray(value) : itemOf(value);
    if (item === undefined) return undefined;
    items.push(item);
  }
  return `{${items.join(',')}}`;
}

function itemOf(value: unknown): string | undefined {
  if (value === null || value === undefined) return 'NULL';
  const text = textOf(value);
  return text === undefined ? undefined : `"${text.replaceAll(/["\\]/g, String.raw`\$&`)}"`;
}
