import { InvalidRequestError } from '../coordinator/index.js';

/** The deepest nesting of a payload. A deeper one would end in an overflow of the stack somewhere. */
const MAX_DEPTH = 64;

/**
 * @param field its place in the request.
 * @param maxBytes the most bytes that it may have as JSON.
 * @throws InvalidRequestError when it is too deep or too large.
 */
export function checkPayload(payload: unknown, field: string, maxBytes: number): void {
  const place = deepPlace(payload, field);
  if (place !== undefined)
    throw new InvalidRequestError(place, `is nested more than ${MAX_DEPTH} levels deep: make it flatter`);
  const bytes = Buffer.byteLength(JSON.stringify(payload) ?? '');
  if (bytes > maxBytes)
    throw new InvalidRequestError(
      field,
      `has ${bytes} bytes, and may have ${maxBytes}: send a reference instead`,
    );
}

/** @returns the place at which the value is too deep. */
function deepPlace(payload: unknown, field: string): string | undefined {
  const open: { value: unknown; depth: number }[] = [{ value: payload, depth: 0 }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { value, depth } = next;
    if (typeof value !== 'object' || value === null) continue;
    if (depth === MAX_DEPTH) return field;
    for (const inner of Object.values(value)) open.push({ value: inner, depth: depth + 1 });
  }
  return undefined;
}

/**
 * @param value JSON that {@link checkPayload} has passed.
 * @returns the same text for the same content, for any order of its fields.
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const fields = Object.entries(value)
    .filter(([, content]) => content !== undefined)
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([key, content]) => `${JSON.stringify(key)}:${canonicalJson(content)}`);
  return `{${fields.join(',')}}`;
}
