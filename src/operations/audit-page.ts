import type { AuditPlace, OperatorAction, OperatorActions, SharedAuditEntry } from '../coordinator/index.js';

/** An audit entry as it is shown to people. @publicApi */
export interface AuditEntryView extends Omit<SharedAuditEntry, 'number' | 'at' | 'epoch'> {
  readonly id: string;
  /** ISO 8601. */
  readonly at: string;
}

export interface AuditPage {
  readonly entries: readonly AuditEntryView[];
  /** The cursor of the next page; null after the last. */
  readonly nextCursor: string | null;
}

/**
 * @param isShared whether several members write the trail: then an entry is known by the epoch of its member
 * as well.
 * @throws (as a rejection) LogUnavailableError when the log of several members does not answer.
 */
export async function auditPage(
  actions: OperatorActions,
  isShared: boolean,
  {
    limit,
    cursor,
    transactionId,
  }: { readonly limit: number; readonly cursor?: string; readonly transactionId?: string },
): Promise<AuditPage> {
  // One more entry than is shown tells whether there is another page. The trail keeps so few that all of them
  // can be looked at.
  const most = transactionId === undefined ? limit + 1 : Number.MAX_SAFE_INTEGER;
  const read = await actions.auditOfAll(most, cursor === undefined ? undefined : placeIn(cursor));
  const found = transactionId === undefined ? read : read.filter((entry) => concerns(entry, transactionId));
  const entries = found.slice(0, limit).map((entry) => viewOf(entry, isShared));
  return { entries, nextCursor: found.length > limit ? entries.at(-1)!.id : null };
}

const OF_TRANSACTIONS: ReadonlySet<OperatorAction> = new Set(['abort', 'forget', 'retry', 'resolve']);

/** The target is a transaction, or one of its branches. A participant may have the name of a transaction. */
function concerns({ action, target }: SharedAuditEntry, transactionId: string): boolean {
  return OF_TRANSACTIONS.has(action) && (target === transactionId || target.startsWith(`${transactionId}/`));
}

function placeIn(cursor: string): AuditPlace {
  const [first, second] = cursor.split('.');
  return second === undefined
    ? { epoch: 0, number: Number(first) }
    : { epoch: Number(first), number: Number(second) };
}

function viewOf(
  { number, epoch, at, by, action, target, reason, detail }: SharedAuditEntry,
  isShared: boolean,
): AuditEntryView {
  const id = isShared ? `${epoch}.${number}` : String(number);
  return { id, at: new Date(at).toISOString(), by, action, target, reason, detail };
}
