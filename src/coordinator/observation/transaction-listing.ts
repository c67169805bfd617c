import { InvalidRequestError } from '../errors.js';
import { abortReason, causeName } from '../execution/outcomes.js';
import type { TransactionRecord } from '../execution/records.js';
import type { TransactionRegistry } from '../execution/registry.js';
import { type Attributes, attributesIn } from '../participant/attributes.js';
import { traceIdIn } from '../participant/caller-note.js';
import { STATES, State, type TransactionState, isAbort } from '../protocol/index.js';
import { isCountedBy } from './alarms/transaction-alarms.js';
import { type TransactionSummary, summaryOf } from './transaction-view.js';

/**
 * The filter of TransactionManager.list() and page(): a transaction must match every field that is given.
 *
 * @publicApi
 */
export interface TransactionFilter {
  readonly state?: TransactionState;
  readonly stalled?: boolean;
  /** Whether it holds a heuristic report that no operator has dealt with. */
  readonly heuristic?: boolean;
  /** Whether it is prepared and its decision not known yet. */
  readonly inDoubt?: boolean;
  /** The name of a participant that has a branch in it. */
  readonly participant?: string;
  /** The name of the transaction. */
  readonly name?: string;
  /** The keys of the business that it has, each with this value. */
  readonly attributes?: Attributes;
  /**
   * The beginning of its id, or of the value of one of its attributes, or of the id of its trace or of its request. An operator
   * need not know which of them a text is. 1 to 300 characters.
   */
  readonly search?: string;
  /** It began at this moment or later: ISO 8601, with a zone. */
  readonly startedAfter?: string;
  /** It began before this moment: ISO 8601, with a zone. */
  readonly startedBefore?: string;
  /**
   * A part of why it was aborted, of the last error of a branch, or of a heuristic report, in capital or small letters. 1 to 300
   * characters.
   */
  readonly cause?: string;
  /** The id of an alarm that counts it, as `GET /attention` has it. 1 to 300 characters. */
  readonly alarm?: string;
  /** Whether it is a group: a transaction of the coordinator itself, by which others are prepared as one. */
  readonly groups?: boolean;
  /** The id of the group that it is, or of which it is a member. 1 to 300 characters. */
  readonly group?: string;
  /** How long ago it began at least, in milliseconds; of one that has ended, how long it took. */
  readonly minAgeMs?: number;
  /** How long ago it began at most, in milliseconds; of one that has ended, how long it took. */
  readonly maxAgeMs?: number;
  /** @default 'youngest', those that began last first */
  readonly order?: 'youngest' | 'oldest';
  /** How many at most, from 1 to 1,000. @default 100 */
  readonly limit?: number;
  /** The `nextCursor` of the page before. */
  readonly cursor?: string;
}

/**
 * A page of the transactions. Transactions that begin or end between two pages cause no repeats and no gaps.
 *
 * @publicApi
 */
export interface TransactionPage {
  readonly transactions: readonly TransactionSummary[];
  /** Leads to the next page; null after the last. */
  readonly nextCursor: string | null;
}

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1_000;
/** The most characters of a text that is searched for. */
const MAX_TEXT = 300;
const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)$/;
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
  const places = new FirstPlaces(limit + 1, direction);
  const wanted = wantedOf(filter);
  registry.forEach((transaction) => {
    // Transactions are numbered as they begin, so that a number is a place that stays.
    if (after !== undefined && (transaction.sequence - after) * direction <= 0) return;
    if (places.mayHave(transaction) && fits(transaction, wanted, now)) places.add(transaction);
  });
  const found = places.inOrder();
  return {
    entries: found
      .slice(0, limit)
      .map((transaction) => ({ transaction: summaryOf(transaction), cursor: String(transaction.sequence) })),
    hasMore: found.length > limit,
  };
}

/** Keeps the first of many transactions, so that a page costs no sorting of all. */
class FirstPlaces {
  private readonly found: TransactionRecord[] = [];
  /** The place of the last one that counts, once there are enough. */
  private end: number | undefined;

  constructor(
    private readonly count: number,
    private readonly direction: 1 | -1,
  ) {}

  /** Whether it would be among the first ones. */
  mayHave({ sequence }: TransactionRecord): boolean {
    return this.end === undefined || (sequence - this.end) * this.direction < 0;
  }

  add(transaction: TransactionRecord): void {
    this.found.push(transaction);
    if (this.found.length === 2 * this.count) this.end = this.inOrder().at(-1)!.sequence;
  }

  /** @returns the first ones, in order. The others are dropped. */
  inOrder(): readonly TransactionRecord[] {
    this.found.sort((one, other) => (one.sequence - other.sequence) * this.direction);
    if (this.found.length > this.count) this.found.length = this.count;
    return this.found;
  }
}

/** A filter, made ready to be compared with many transactions. */
interface Wanted extends Omit<TransactionFilter, 'startedAfter' | 'startedBefore'> {
  /** In milliseconds since 1970. */
  readonly fromMs: number;
  readonly beforeMs: number;
  /** In small letters. */
  readonly cause?: string;
}

function wantedOf({ startedAfter, startedBefore, cause, ...others }: TransactionFilter): Wanted {
  return {
    ...others,
    ...(cause !== undefined && { cause: cause.toLowerCase() }),
    fromMs: startedAfter === undefined ? -Infinity : Date.parse(startedAfter),
    beforeMs: startedBefore === undefined ? Infinity : Date.parse(startedBefore),
  };
}

function fits(transaction: TransactionRecord, wanted: Wanted, now: number): boolean {
  const { state, stalled, heuristic, inDoubt, participant, name, attributes, search, cause, alarm } = wanted;
  const { groups, group } = wanted;
  if (state !== undefined && transaction.stateName !== state) return false;
  if (stalled !== undefined && transaction.isStalled !== stalled) return false;
  if (heuristic !== undefined && transaction.hasHeuristics !== heuristic) return false;
  if (inDoubt !== undefined && (transaction.state === State.READY) !== inDoubt) return false;
  if (name !== undefined && transaction.name !== name) return false;
  if (groups !== undefined && (transaction.extras?.group?.isGroup === true) !== groups) return false;
  if (group !== undefined && groupOf(transaction) !== group) return false;
  if (attributes !== undefined && !hasAttributes(transaction, attributes)) return false;
  if (!isInTime(transaction, wanted, now)) return false;
  if (search !== undefined && !isCalled(transaction, search)) return false;
  if (participant !== undefined && !transaction.branches.some((one) => one.participant.name === participant))
    return false;
  if (alarm !== undefined && !isCountedBy(alarm, transaction, now)) return false;
  return cause === undefined || causesOf(transaction).some((text) => text.toLowerCase().includes(cause));
}

function isInTime(transaction: TransactionRecord, wanted: Wanted, now: number): boolean {
  const { startedAt, endedAt, executor } = transaction;
  const { minAgeMs = 0, maxAgeMs = Infinity, fromMs, beforeMs } = wanted;
  const ageMs = (endedAt || now) - startedAt;
  if (ageMs < minAgeMs || ageMs > maxAgeMs) return false;
  if (fromMs === -Infinity && beforeMs === Infinity) return true;
  // As the list shows it: in whole milliseconds.
  const startedMs = Math.trunc(executor.clock.epochMs + startedAt);
  return startedMs >= fromMs && startedMs < beforeMs;
}

/** @returns the id of the group that it is, or of which it is a member. Of a group that was restored only its own id is known. */
function groupOf({ id, extras }: TransactionRecord): string | undefined {
  const group = extras?.group;
  return group?.note?.id ?? (group?.isGroup === true ? id : undefined);
}

/** Whether the id, the value of an attribute, the id of the trace or that of the request begins so. */
function isCalled({ id, extras }: TransactionRecord, beginning: string): boolean {
  if (id.startsWith(beginning)) return true;
  if (extras === undefined) return false;
  const { attributes, caller } = extras;
  if (attributes !== undefined && Object.values(attributes).some((value) => value.startsWith(beginning)))
    return true;
  if (caller === undefined) return false;
  const { requestId, traceparent } = caller;
  return requestId?.startsWith(beginning) === true || traceIdIn(traceparent)?.startsWith(beginning) === true;
}

/** @returns the reasons that its list shows: of its abort, of failed attempts, of refusals and of reports. */
function causesOf(transaction: TransactionRecord): string[] {
  const { state, branches } = transaction;
  const ofAbort = isAbort(state) ? [causeName(transaction), abortReason(transaction)] : [];
  const ofBranches = branches.flatMap(({ delivery, refusal, heuristic }) => [
    delivery?.lastError,
    refusal?.reason,
    heuristic?.reason,
  ]);
  return [...ofAbort, ...ofBranches].filter((text) => text !== undefined && text !== null);
}

function hasAttributes({ extras }: TransactionRecord, wanted: Attributes): boolean {
  const own = extras?.attributes;
  if (own === undefined) return Object.keys(wanted).length === 0;
  return Object.entries(wanted).every(([key, value]) => Object.hasOwn(own, key) && own[key] === value);
}

function check(filter: TransactionFilter): void {
  const { state, order, limit, cursor, attributes } = filter;
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
  for (const field of ['minAgeMs', 'maxAgeMs'] as const) {
    const ms = filter[field];
    if (ms !== undefined && !(ms >= 0 && Number.isFinite(ms)))
      throw new InvalidRequestError(field, 'must be a number of milliseconds, 0 or more');
  }
  for (const field of ['search', 'cause', 'alarm', 'group'] as const) {
    const text = filter[field];
    if (text !== undefined && (typeof text !== 'string' || text.length < 1 || text.length > MAX_TEXT))
      throw new InvalidRequestError(field, `must be a text of 1 to ${MAX_TEXT} characters`);
  }
  for (const field of ['startedAfter', 'startedBefore'] as const) {
    const moment = filter[field];
    if (moment !== undefined && !isMoment(moment))
      throw new InvalidRequestError(field, 'must be a moment such as 2026-01-31T03:00:00Z, with a zone');
  }
}

/** Without a zone it would depend on where the process runs. */
function isMoment(text: unknown): boolean {
  return typeof text === 'string' && MOMENT.test(text) && !Number.isNaN(Date.parse(text));
}
