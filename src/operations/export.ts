import { Injectable } from '@nestjs/common';
import { CoordinatorError } from '../coordinator/index.js';
import { AnyMember } from './members/any-member.js';
import type { OwnedSummary, UnansweredMember } from './members/owned.js';
import type { ListFilter } from './request.schemas.js';

/** The most exports at one time. Each holds its transactions in memory, and reads those of all members. */
const MAX_EXPORTS = 2;
/** After this time, in milliseconds, one that was refused may be asked for again. */
const RETRY_AFTER_MS = 5_000;
/** The most transactions of one export. */
const MAX_EXPORTED = 5_000;
/** A page takes some milliseconds, in which nothing else is done. */
const PAGE = 250;

/** The transactions that a filter has found. @publicApi */
export interface TransactionExport {
  /** When it was made: ISO 8601. */
  readonly at: string;
  readonly transactions: readonly OwnedSummary[];
  /** Whether there are more, which are left out. */
  readonly cut: boolean;
  /** The members whose transactions may be missing. */
  readonly unanswered: readonly UnansweredMember[];
}

/** As many exports as this process makes at one time are under way. @publicApi */
export class TooManyExportsError extends CoordinatorError {
  readonly code = 'DTC_TOO_MANY_EXPORTS';
  /** How long to wait before the next try, in milliseconds. */
  readonly retryAfterMs = RETRY_AFTER_MS;

  constructor() {
    super(`${MAX_EXPORTS} exports are under way. Wait until one is done, or page through the list instead.`);
  }
}

/** Collects what a filter finds, page by page, for a file. */
@Injectable()
export class Exports {
  private underWay = 0;

  constructor(private readonly anyMember: AnyMember) {}

  /** @throws InvalidRequestError; TooManyExportsError when {@link MAX_EXPORTS} are under way. */
  async collect(filter: Omit<ListFilter, 'limit' | 'cursor'>): Promise<TransactionExport> {
    if (this.underWay >= MAX_EXPORTS) throw new TooManyExportsError();
    this.underWay++;
    try {
      return await this.collectPages(filter);
    } finally {
      this.underWay--;
    }
  }

  private async collectPages(filter: Omit<ListFilter, 'limit' | 'cursor'>): Promise<TransactionExport> {
    // A transaction that two members have may be on the pages of both.
    const transactions = new Map<string, OwnedSummary>();
    const unanswered = new Map<number, UnansweredMember>();
    let cursor: string | null = null;
    do {
      const page = await this.anyMember.list({ ...filter, limit: PAGE, ...(cursor !== null && { cursor }) });
      for (const one of page.transactions)
        if (!transactions.has(one.transactionId)) transactions.set(one.transactionId, one);
      for (const member of page.unanswered) unanswered.set(member.epoch, member);
      // A page without any is the end, also where a member that has not answered may have more.
      cursor = page.transactions.length === 0 ? null : page.nextCursor;
      // Transactions go on between two pages.
      await new Promise((resolve) => setImmediate(resolve));
    } while (cursor !== null && transactions.size < MAX_EXPORTED);
    return {
      at: new Date().toISOString(),
      transactions: [...transactions.values()].slice(0, MAX_EXPORTED),
      cut: cursor !== null || transactions.size > MAX_EXPORTED,
      unanswered: [...unanswered.values()],
    };
  }
}

type Cell = string | number | boolean | null;

const COLUMNS: readonly (readonly [head: string, cell: (transaction: OwnedSummary) => Cell])[] = [
  ['transactionId', ({ transactionId }) => transactionId],
  ['name', ({ name }) => name],
  ['state', ({ state }) => state],
  ['stalled', ({ stalled }) => stalled],
  ['inDoubt', ({ inDoubt }) => inDoubt],
  ['decision', ({ decision }) => decision],
  ['cause', ({ cause }) => cause],
  ['reason', ({ reason }) => reason],
  ['heuristic', ({ heuristic }) => heuristic],
  ['startedAt', ({ startedAt }) => startedAt],
  ['decidedAt', ({ decidedAt }) => decidedAt],
  ['endedAt', ({ endedAt }) => endedAt],
  ['ageMs', ({ ageMs }) => ageMs],
  ['participants', ({ branches }) => branches.map(({ participant }) => participant).join(' ')],
  ['lastErrors', ({ branches }) => joined(branches.map((one) => [one.participant, one.lastError]))],
  ['reports', ({ branches }) => joined(branches.map((one) => [one.participant, one.heuristic?.reason]))],
  ['attributes', ({ attributes }) => joined(Object.entries(attributes ?? {}), '=')],
  ['member', ({ owner }) => (owner === null ? null : owner.member || `epoch ${owner.epoch}`)],
];

/** @returns the export as CSV, by RFC 4180. A last line names missing parts. */
export function csvOf({ transactions, cut, unanswered }: TransactionExport): string {
  const lines = transactions.map((transaction) => lineOf(COLUMNS.map(([, cell]) => cell(transaction))));
  const notes = [
    ...(cut ? [`Cut after ${transactions.length} transactions: narrow the filter.`] : []),
    ...unanswered.map(({ epoch, problem }) => `The member with epoch ${epoch} is missing: ${problem}.`),
  ];
  return [lineOf(COLUMNS.map(([head]) => head)), ...lines, ...notes.map((note) => lineOf([`# ${note}`]))]
    .map((line) => `${line}\r\n`)
    .join('');
}

function lineOf(cells: readonly Cell[]): string {
  return cells.map(cellOf).join(',');
}

/**
 * A program for tables runs a text that begins so as a formula, also after quotes and spaces. Some take a semicolon, a tab or a
 * line for the end of a cell, also within quotes.
 */
const FORMULA = /(^|[;\t\r\n])(["\s]*)(?=[=+\-@\t\r|%])/g;

function cellOf(value: Cell): string {
  if (value === null) return '';
  if (typeof value !== 'string') return String(value);
  const text = value.replaceAll(FORMULA, "$1'$2");
  return /["',;\r\n\t]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function joined(pairs: readonly (readonly [string, string | null | undefined])[], by = ': '): string {
  return pairs
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name}${by}${value}`)
    .join('; ');
}
