import type { TransactionEntries, TransactionEntry, TransactionFilter } from '../../coordinator/index.js';
import type { OwnedSummary, OwnerView } from './owned.js';

/** The part of a list that one member has given; undefined when it has not answered. */
export interface ListPart {
  readonly owner: OwnerView;
  /** The place after which its part begins; undefined for its beginning. */
  readonly after: string | undefined;
  readonly entries: TransactionEntries | undefined;
}

/** A page of the transactions of several members. */
export interface MergedPage {
  readonly transactions: readonly OwnedSummary[];
  readonly nextCursor: string | null;
}

/** @returns the places of the members that a cursor names; undefined when it is none of several members. */
export function placesIn(cursor: string): ReadonlyMap<number, string | undefined> | undefined {
  if (!cursor.includes('-')) return undefined;
  return new Map(
    cursor.split('_').map((part) => {
      const [epoch, place] = part.split('-') as [string, string];
      return [Number(epoch), place === '' ? undefined : place];
    }),
  );
}

/**
 * Merges the parts of several members into one page by the start of the transactions. Each part keeps its own
 * order, which no clock has made. A transaction that two members have is listed once.
 */
export function merge(
  parts: readonly ListPart[],
  { limit, order }: Required<Pick<TransactionFilter, 'limit' | 'order'>>,
): MergedPage {
  const open = parts.map((part) => ({ ...part, from: 0, taken: part.after }));
  const transactions: OwnedSummary[] = [];
  const seen = new Set<string>();
  const direction = order === 'oldest' ? 1 : -1;
  // The next transactions of an exhausted part may belong before the rest of the other parts.
  const isUsedUp = ({ entries, from }: (typeof open)[number]): boolean =>
    entries?.hasMore === true && from === entries.entries.length;
  while (transactions.length < limit && !open.some(isUsedUp)) {
    let next: { part: (typeof open)[number]; entry: TransactionEntry } | undefined;
    for (const part of open) {
      const entry = part.entries?.entries[part.from];
      if (entry === undefined) continue;
      if (next === undefined || (startOf(entry) - startOf(next.entry)) * direction < 0)
        next = { part, entry };
    }
    if (next === undefined) break;
    const { part, entry } = next;
    part.from++;
    part.taken = entry.cursor;
    if (seen.has(entry.transaction.transactionId)) continue;
    seen.add(entry.transaction.transactionId);
    transactions.push({ ...entry.transaction, owner: part.owner });
  }
  const rest = open.filter(
    ({ entries, from }) => entries === undefined || from < entries.entries.length || entries.hasMore,
  );
  const isOver = rest.every(({ entries }) => entries === undefined);
  return { transactions, nextCursor: isOver ? null : cursorOf(rest) };
}

function startOf({ transaction: { startedAt } }: TransactionEntry): number {
  return Date.parse(startedAt);
}

function cursorOf(
  rest: readonly { readonly owner: OwnerView; readonly taken: string | undefined }[],
): string {
  return rest.map(({ owner, taken }) => `${owner.epoch}-${taken ?? ''}`).join('_');
}
