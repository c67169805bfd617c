import { InvalidRequestError } from '../errors.js';
import type { TransactionRecord } from '../execution/records.js';
import type { TransactionRegistry } from '../execution/registry.js';
import { type Attributes, attributesIn } from '../participant/attributes.js';
import { READY, STATES, type TransactionState } from '../protocol/index.js';
import { type TransactionSummary, summaryOf } from './transaction-view.js';

/** What TransactionManager.list() and page() select: what fits all that is given. @publicApi */
export interface TransactionFilter {
  readonly state?: TransactionState;
  readonly stalled?: boolean;
  /** Whether it holds a heuristic report that no operator has dealt with. */
  readonly heuristic?: boolean;
  /** Whether it is prepared and its decision not known yet. */
  readonly inDoubt?: boolean;
  /** The name of a participant that has a branch in it. */
  readonly participant?: string;
  /** What it is called. */
  readonly name?: string;
  /** The keys of the business that it has, each with this value. */
  readonly attributes?: Attributes;
  /** How long ago it began at least, in milliseconds; of one that has ended, how long it took. */
  readonly minAgeMs?: number;
  /** @default 'youngest', those that began last first */
  readonly order?: 'youngest' | 'oldest';
  /** How many at most, from 1 to 1,000. @default 100 */
  readonly limit?: number;
  /** The `nextCursor` of the page before. */
  readonly cursor?: string;
}

/** A part of the transactions. What begins or ends meanwhile neither repeats nor hides another. @publicApi */
export interface TransactionPage {
  readonly transactions: readonly TransactionSummary[];
  /** Leads to the next page; null after the last. */
  readonly nextCursor: string | null;
}

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1_000;
const CURSOR = /^[1-9]\d{0,14}$/;

/**
 * @param now on the coordinator's clock.
 * @throws InvalidRequestError when a field of the filter makes no sense.
 */
export function pageOf(
  registry: TransactionRegistry,
  filter: TransactionFilter,
  now: number,
): TransactionPage {
  const { entries, hasMore } = entriesOf(registry, filter, now);
  return {
    transactions: entries.map(({ transaction }) => transaction),
    nextCursor: hasMore ? entries.at(-1)!.cursor : null,
  };
}

/** A transaction of a list, and its place there: the list after it begins with this cursor. @publicApi */
export interface TransactionEntry {
  readonly transaction: TransactionSummary;
  readonly cursor: string;
}

/** A part of a list whose entries can be merged with those of other members. @publicApi */
export interface TransactionEntries {
  readonly entries: readonly TransactionEntry[];
  /** Whether others follow. */
  readonly hasMore: boolean;
}

/** As {@link pageOf}, with the place of each entry. */
export function entriesOf(
  registry: TransactionRegistry,
  filter: TransactionFilter,
  now: number,
): TransactionEntries {
  const { limit = DEFAULT_LIMIT, order = 'youngest', cursor } = filter;
  check(filter);
  const direction = order === 'oldest' ? 1 : -1;
  const after = cursor === undefined ? undefined : Number(cursor);
  const found: TransactionRecord[] = [];
  registry.forEach((transaction) => {
    // Transactions are numbered as they begin, so that a number is a place that stays.
    if (after !== undefined && (transaction.sequence - after) * direction <= 0) return;
    if (fits(transaction, filter, now)) found.push(transaction);
  });
  found.sort((a, b) => (a.sequence - b.sequence) * direction);
  return {
    entries: found
      .slice(0, limit)
      .map((transaction) => ({ transaction: summaryOf(transaction), cursor: String(transaction.sequence) })),
    hasMore: found.length > limit,
  };
}

function fits(transaction: TransactionRecord, filter: TransactionFilter, now: number): boolean {
  const { state, stalled, heuristic, inDoubt, participant, name, minAgeMs, attributes } = filter;
  if (state !== undefined && transaction.stateName !== state) return false;
  if (stalled !== undefined && transaction.isStalled !== stalled) return false;
  if (heuristic !== undefined && transaction.hasHeuristics !== heuristic) return false;
  if (inDoubt !== undefined && (transaction.state === READY) !== inDoubt) return false;
  if (name !== undefined && transaction.name !== name) return false;
  if (attributes !== undefined && !hasAttributes(transaction, attributes)) return false;
  if (minAgeMs !== undefined && (transaction.endedAt || now) - transaction.startedAt < minAgeMs) return false;
  return (
    participant === undefined ||
    transaction.branches.some((branch) => branch.participant.name === participant)
  );
}

function hasAttributes({ extras }: TransactionRecord, wanted: Attributes): boolean {
  const own = extras?.attributes;
  if (own === undefined) return Object.keys(wanted).length === 0;
  return Object.entries(wanted).every(([key, value]) => Object.hasOwn(own, key) && own[key] === value);
}

function check({ state, order, limit, cursor, minAgeMs, attributes }: TransactionFilter): void {
  attributesIn(attributes);
  if (limit !== undefined && (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT)) {
    throw new InvalidRequestError('limit', `must be a whole number from 1 to ${MAX_LIMIT}`);
  }
  if (state !== undefined && !STATES.includes(state)) {
    throw new InvalidRequestError('state', `must be one of ${STATES.join(', ')}`);
  }
  if (order !== undefined && order !== 'youngest' && order !== 'oldest') {
    throw new InvalidRequestError('order', 'must be youngest or oldest');
  }
  if (cursor !== undefined && !CURSOR.test(cursor)) {
    throw new InvalidRequestError('cursor', 'must be the nextCursor of a page');
  }
  if (minAgeMs !== undefined && !(minAgeMs >= 0 && Number.isFinite(minAgeMs))) {
    throw new InvalidRequestError('minAgeMs', 'must be a number of milliseconds, 0 or more');
  }
}
