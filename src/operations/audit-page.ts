import type { AuditPlace, OperatorActions, SharedAuditEntry } from '../coordinator/index.js';

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
 * @param isShared whether several members write the trail: then an entry is known by the epoch of its member as well.
 * @throws (as a rejection) LogUnavailableError when the log of several members does not answer.
 */
export async function auditPage(
  actions: OperatorActions,
  isShared: boolean,
  { limit, cursor }: { readonly limit: number; readonly cursor?: string },
): Promise<AuditPage> {
  // One more entry than is shown tells whether there is another page.
  const found = await actions.auditOfAll(limit + 1, cursor === undefined ? undefined : placeIn(cursor));
  const entries = found.slice(0, limit).map((entry) => viewOf(entry, isShared));
  return { entries, nextCursor: found.length > limit ? entries.at(-1)!.id : null };
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
