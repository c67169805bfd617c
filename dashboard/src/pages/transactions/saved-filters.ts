import { type Filters, addressOf, filtersIn } from './filters.js';

/** A filter of the list that a user has given a name. */
export interface SavedFilter {
  readonly name: string;
  /** As it appears in an address. */
  readonly query: string;
}

export const MAX_SAVED = 20;
export const MAX_NAME_CHARS = 40;

const KEY = 'dtc.filters';
/** A filter takes less. What is longer was not saved here. */
const MAX_QUERY_CHARS = 4_000;

/** What of the browser's store is needed. */
export type Store = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

/** @returns the saved filters; none where the store holds something else, or cannot be read. */
export function savedFilters(store: () => Store): readonly SavedFilter[] {
  let read: unknown;
  try {
    read = JSON.parse(store().getItem(KEY) ?? '[]');
  } catch {
    // A browser may refuse its store. What is not JSON was not saved here.
    return [];
  }
  if (!Array.isArray(read)) return [];
  const found = (read as unknown[]).flatMap((one): SavedFilter[] => {
    const { name, query } = (one ?? {}) as { readonly name?: unknown; readonly query?: unknown };
    const isValid =
      typeof name === 'string' &&
      name !== '' &&
      name.length <= MAX_NAME_CHARS &&
      typeof query === 'string' &&
      query.length <= MAX_QUERY_CHARS;
    return isValid ? [{ name, query: queryOf(filtersIn(new URLSearchParams(query))) }] : [];
  });
  return [...new Map(found.map((one) => [one.name, one])).values()].slice(0, MAX_SAVED);
}

/**
 * Saves a filter. One of the same name is replaced.
 *
 * @returns why it is not saved; undefined if it is.
 */
export function saveFilter(store: () => Store, name: string, filters: Filters): string | undefined {
  const given = name.trim();
  if (given === '' || given.length > MAX_NAME_CHARS)
    return `Give it a name of 1 to ${MAX_NAME_CHARS} characters.`;
  const others = savedFilters(store).filter((one) => one.name !== given);
  if (others.length >= MAX_SAVED) return `There are ${MAX_SAVED} saved filters. Delete one first.`;
  return write(store, [...others, { name: given, query: queryOf(filters) }]);
}

/** @returns why it is not deleted; undefined if it is. */
export function deleteFilter(store: () => Store, name: string): string | undefined {
  return write(
    store,
    savedFilters(store).filter((one) => one.name !== name),
  );
}

function write(store: () => Store, filters: readonly SavedFilter[]): string | undefined {
  try {
    if (filters.length === 0) store().removeItem(KEY);
    else store().setItem(KEY, JSON.stringify(filters));
    return undefined;
  } catch (error) {
    return `The browser does not keep it: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** An alarm is over before the filter is used again, and so is a group. */
function queryOf(filters: Filters): string {
  return new URLSearchParams(addressOf({ ...filters, alarm: '', group: '' })).toString();
}
