import type { AuditEntry, OperatorActions } from '../coordinator/index.js';

/** An audit entry as it is shown to people. @publicApi */
export interface AuditEntryView extends Omit<AuditEntry, 'number' | 'at'> {
  readonly id: string;
  /** ISO 8601. */
  readonly at: string;
}

export interface AuditPage {
  readonly entries: readonly AuditEntryView[];
  /** The cursor of the next page; null after the last. */
  readonly nextCursor: string | null;
}

export function auditPage(
  actions: OperatorActions,
  { limit, cursor }: { readonly limit: number; readonly cursor?: string },
): AuditPage {
  // One more entry than is shown tells whether there is another page.
  const found = actions.audit(limit + 1, cursor === undefined ? undefined : Number(cursor));
  const entries = found.slice(0, limit).map(viewOf);
  return { entries, nextCursor: found.length > limit ? entries.at(-1)!.id : null };
}

function viewOf({ number, at, by, action, target, reason, detail }: AuditEntry): AuditEntryView {
  return { id: String(number), at: new Date(at).toISOString(), by, action, target, reason, detail };
}
